// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hotplug/config.hpp>
#include <hotplug/device.hpp>
#include <hotplug/input_rule.hpp>
#include <hotplug/pci_rule.hpp>
#include <hotplug/usb_rule.hpp>

#include <cstddef>

namespace hotplug {

/// The rules for all kinds of devices.
class Rules {
 public:
  Rules() = default;
  /// Throws `qemuctl::Error` (`errc::invalid_argument`) for a regular expression that RE2 does not understand.
  explicit Rules(const Config& config);

  const UsbRules& usb() const noexcept { return usb_; }
  const InputRules& input() const noexcept { return input_; }
  const PciRules& pci() const noexcept { return pci_; }

  /// Pure.
  Verdict evaluate(const Device& device) const;
  /// The same with the trace.
  Verdict explain(const Device& device) const;

  /// Rule number `index` of that kind; nullptr if there is none, for instance after a reload.
  const RuleBase* find(DeviceKind kind, std::size_t index) const noexcept;
  /// The same for a rule that must exist.
  const RuleBase& rule(DeviceKind kind, std::size_t index) const;
  /// Whether that rule takes also what the host itself uses.
  bool is_forced(DeviceKind kind, std::size_t index) const noexcept;

 private:
  UsbRules usb_;
  InputRules input_;
  PciRules pci_;
};

} // namespace hotplug
