// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

namespace hotplug::detail {

/// A source of input events on any bus; an `InputDevice` is one that is not on USB.
struct HostInput {
  std::string sys_path;
  std::set<std::string, std::less<>> kinds; ///< udev's "ID_INPUT_KEYBOARD", ...: several, or none
};

/// Those that udev has finished processing. Throws `std::system_error` when udev is not available.
std::vector<HostInput> inputs_of_host();

} // namespace hotplug::detail
