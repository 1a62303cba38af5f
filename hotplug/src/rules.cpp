// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include <hotplug/rules.hpp>

#include <stdexcept>

namespace hotplug {

Rules::Rules(const Config& config) : usb_(config.usb_rules), input_(config.input_rules), pci_(config.pci_rules) {}

Verdict Rules::evaluate(const Device& device) const {
  if (const auto* usb = std::get_if<UsbDevice>(&device)) return usb_.evaluate(*usb);
  if (const auto* input = std::get_if<InputDevice>(&device)) return input_.evaluate(*input);
  return pci_.evaluate(std::get<PciDevice>(device));
}

Verdict Rules::explain(const Device& device) const {
  if (const auto* usb = std::get_if<UsbDevice>(&device)) return usb_.explain(*usb);
  if (const auto* input = std::get_if<InputDevice>(&device)) return input_.explain(*input);
  return pci_.explain(std::get<PciDevice>(device));
}

const RuleBase* Rules::find(DeviceKind kind, std::size_t index) const noexcept {
  const auto of = [&](const auto& set) -> const RuleBase* {
    return index < set.rules().size() ? &set.rules()[index] : nullptr;
  };
  switch (kind) {
  case DeviceKind::usb:
    return of(usb_);
  case DeviceKind::input:
    return of(input_);
  case DeviceKind::pci:
    return of(pci_);
  }
  return nullptr;
}

const RuleBase& Rules::rule(DeviceKind kind, std::size_t index) const {
  if (const RuleBase* found = find(kind, index)) return *found;
  throw std::out_of_range("there is no such rule");
}

bool Rules::is_forced(DeviceKind kind, std::size_t index) const noexcept {
  if (kind == DeviceKind::usb) return index < usb_.rules().size() && usb_.rules()[index].force;
  if (kind == DeviceKind::pci) return index < pci_.rules().size() && pci_.rules()[index].force;
  return false; // the host shares input devices with whoever reads them
}

} // namespace hotplug
