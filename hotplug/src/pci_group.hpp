// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hotplug/pci_rule.hpp>

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace hotplug::detail {

/// Where a PCI device may go, considering the others in its IOMMU group.
struct PciVerdict {
  std::optional<std::size_t> rule;
  std::vector<std::string> vms;
  bool member = false; ///< only because another device in its group does
  std::string skipped; ///< why it stays with the host although a rule matches; else empty
  bool operator==(const PciVerdict&) const = default;
};

/// The verdicts by address. `devices` must be all PCI devices of the host. Pure.
std::map<std::string, PciVerdict> decide_pci(const std::vector<PciDevice>& devices, const PciRules& rules);

/// A device of the host and the VM that it should be in.
struct GroupMember {
  PciDevice device;
  std::optional<std::string> target;
};

/// Why the IOMMU group of a device cannot go to a VM, naming the member that prevents it; empty: it can. `members` are
/// all devices of the group, including this one. Pure.
///
/// The kernel lets a process use a group only when no host driver is bound to any of its devices.
std::string group_obstacle(const PciDevice& device, const std::string& vm, const std::vector<GroupMember>& members);

} // namespace hotplug::detail
