// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hotplug/rules.hpp>

#include <string>
#include <vector>

namespace hotplug {

/// Why `device` goes where it goes: rule by rule and condition by condition, as lines for people. What the device says
/// of itself is printed with control characters escaped. `all` is what the host has: what becomes of a PCI device may
/// depend on the others of its IOMMU group.
std::string explanation(const Rules& rules, const Device& device, const std::vector<Device>& all = {});

/// "3-1.4 046d:c52b Logitech USB Receiver", for people; the same escapes.
std::string short_description(const Device& device);

} // namespace hotplug
