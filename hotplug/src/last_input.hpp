// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "host_inputs.hpp"

#include <hotplug/device.hpp>
#include <hotplug/rules.hpp>

#include <string>
#include <vector>

namespace hotplug::detail {

/// What people lose by these rules, of the devices that are there: a warning when no keyboard stays with the host, and
/// one when no pointer does. Pure.
std::vector<std::string> last_input_warnings(const std::vector<Device>& devices, const std::vector<HostInput>& inputs,
                                             const Rules& rules);

} // namespace hotplug::detail
