// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace bench {

/// The baseline of the service: follows udev with libudev alone, reads what identifies a device, and writes the
/// `device_add` to the monitor of one of these VMs, chosen by the product id. No rules, no state, no
/// answers read but those of the beginning. Never returns. It listens to udev before it connects.
[[noreturn]] void follow_bare(const std::vector<std::string>& sockets);

} // namespace bench
