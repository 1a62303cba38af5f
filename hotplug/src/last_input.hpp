// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "host_inputs.hpp"

#include <hotplug/device.hpp>
#include <hotplug/rules.hpp>

#include <string>
#include <vector>

namespace hotplug::detail {

/// Warnings if, of the present devices, these rules leave the host no keyboard or no pointer. Pure.
std::vector<std::string> last_input_warnings(const std::vector<Device>& devices, const std::vector<HostInput>& inputs,
                                             const Rules& rules);

} // namespace hotplug::detail
