// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hotplug/acpi_rule.hpp>
#include <hotplug/device.hpp>
#include <hotplug/rules.hpp>
#include <hotplug/start_arguments.hpp>

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace hotplug::detail {

/// A device that a VM starts with.
struct StartDevice {
  Device device;
  std::size_t rule = 0;   ///< index of the rule that sends it there, among those of its kind
  std::string id;         ///< of the qdev
  std::string rom_file{}; ///< option ROM of a card; empty: its own
};

/// The arguments for PCI and input devices, in the order of their rules. Pure.
StartArguments start_arguments(std::vector<StartDevice> devices, const Rules& rules, const StartOptions& options);

/// The arguments for a VM's ACPI tables. Sets the owners of files; `warn` is called for tables that are skipped.
std::vector<std::string> acpi_arguments(const std::vector<AcpiRule>& rules, const std::string& vm,
                                        const std::function<void(const std::string&)>& warn);

/// The arguments for UEFI firmware; empty paths are searched for in `folder`. Throws `qemuctl::Error`
/// (`not_found`).
std::vector<std::string> ovmf_arguments(const std::string& code, const std::string& vars,
                                        const std::string& folder = "/usr/share/OVMF");

} // namespace hotplug::detail
