// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "rule_matching.hpp"

#include <hotplug/pci_rule.hpp>

#include <utility>

namespace hotplug {

namespace {

void check(const PciMatch& match, const PciDevice& device, detail::Conditions& conditions) {
  conditions.text("address", match.address, device.address());
  conditions.number("vendorId", match.vendor_id, device.vendor_id, "{:04x}");
  conditions.number("deviceId", match.device_id, device.device_id, "{:04x}");
  conditions.number("deviceClass", match.device_class, device.device_class.code, "{:02x}");
  conditions.number("deviceSubclass", match.device_subclass, device.device_class.subclass, "{:02x}");
  conditions.number("deviceProgIf", match.device_prog_if, device.device_class.prog_if, "{:02x}");
}

} // namespace

struct PciRules::Compiled {
  std::vector<PciRule> rules;
  detail::Expressions expressions; ///< none: they match nothing that a device could choose

  Verdict decide(const PciDevice& device, bool explain) const {
    return detail::decide(
        rules, expressions,
        [&](const PciMatch& match, detail::Conditions& conditions) { check(match, device, conditions); }, explain);
  }
};

PciRules::PciRules(std::vector<PciRule> rules) {
  auto compiled = std::make_shared<Compiled>();
  compiled->rules = std::move(rules);
  compiled_ = std::move(compiled);
}

const std::vector<PciRule>& PciRules::rules() const noexcept {
  static const std::vector<PciRule> none;
  return compiled_ ? compiled_->rules : none;
}

Verdict PciRules::evaluate(const PciDevice& device) const {
  return compiled_ ? compiled_->decide(device, false) : Verdict();
}

Verdict PciRules::explain(const PciDevice& device) const {
  return compiled_ ? compiled_->decide(device, true) : Verdict();
}

} // namespace hotplug
