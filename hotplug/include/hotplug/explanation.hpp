// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hotplug/rules.hpp>

#include <string>

namespace hotplug {

/// Why `device` goes where it goes: rule by rule and condition by condition, as lines for people. What the device says
/// of itself is printed with control characters escaped.
std::string explanation(const Rules& rules, const Device& device);

/// "3-1.4 046d:c52b Logitech USB Receiver", for people; the same escapes.
std::string short_description(const Device& device);

} // namespace hotplug
