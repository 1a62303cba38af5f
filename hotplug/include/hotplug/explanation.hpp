// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hotplug/rules.hpp>

#include <string>
#include <vector>

namespace hotplug {

/// Explains where `device` goes, rule by rule and condition by condition, in lines for people. Strings from the device
/// are printed with control characters escaped. `all` lists the devices of the host: a PCI device may depend on the
/// others in its IOMMU group.
std::string explanation(const Rules& rules, const Device& device, const std::vector<Device>& all = {});

/// "3-1.4 046d:c52b Logitech USB Receiver", for people; the same escapes.
std::string short_description(const Device& device);

} // namespace hotplug
