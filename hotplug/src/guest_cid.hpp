// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace hotplug::detail {

/// The CID that a guest has on VSOCK, as QEMU's arguments say (`-device vhost-vsock-pci,guest-cid=3`, also as JSON);
/// nullopt: they do not. Pure.
std::optional<std::uint32_t> guest_cid(const std::vector<std::string>& argv);

} // namespace hotplug::detail
