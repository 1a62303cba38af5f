// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

namespace hotplug::detail {

/// A source of input events of the host, of whatever bus. An `InputDevice` is only what is not behind USB.
struct HostInput {
  std::string sys_path;
  std::set<std::string, std::less<>> kinds; ///< udev's "ID_INPUT_KEYBOARD", ...: several, or none that it knows
};

/// Those that udev is through with. Throws `std::system_error` when it cannot be asked.
std::vector<HostInput> inputs_of_host();

} // namespace hotplug::detail
