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

/// Where a PCI device may go, when the others of its IOMMU group are looked at, too.
struct PciVerdict {
  std::optional<std::size_t> rule;
  std::vector<std::string> vms;
  bool member = false; ///< only because another one of its group does
  std::string skipped; ///< why it stays with the host although a rule matches; empty: it does not
  bool operator==(const PciVerdict&) const = default;
};

/// For each of these devices, which are all of the host, by address. Pure.
std::map<std::string, PciVerdict> decide_pci(const std::vector<PciDevice>& devices, const PciRules& rules);

/// A device of the host and the VM that it is to be in.
struct GroupMember {
  PciDevice device;
  std::optional<std::string> target;
};

/// Why the IOMMU group of a device cannot go to a VM: the member that is in the way; empty: it can. `members` are
/// those of its group, itself among them. Pure.
///
/// The kernel lets a process use a group only when no driver of the host has a part in it.
std::string group_obstacle(const PciDevice& device, const std::string& vm, const std::vector<GroupMember>& members);

} // namespace hotplug::detail
