// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "rule_matching.hpp"

#include <hotplug/pci_rule.hpp>

#include <utility>

namespace hotplug {

namespace detail {

void check(const PciMatch& match, const PciDevice& device, Conditions& conditions) {
  conditions.text("address", match.address, device.address());
  conditions.number("vendorId", match.vendor_id, device.vendor_id, "{:04x}");
  conditions.number("deviceId", match.device_id, device.device_id, "{:04x}");
  conditions.number("deviceClass", match.device_class, device.device_class.code, "{:02x}");
  conditions.number("deviceSubclass", match.device_subclass, device.device_class.subclass, "{:02x}");
  conditions.number("deviceProgIf", match.device_prog_if, device.device_class.prog_if, "{:02x}");
}

/// Has no regular expressions: no condition is on a text chosen by the device.
void compile(const PciMatch&, const std::string&, Expressions&) {}

} // namespace detail

template class RuleSet<PciRule, PciDevice>;

} // namespace hotplug
