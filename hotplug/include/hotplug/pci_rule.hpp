// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hotplug/pci_device.hpp>
#include <hotplug/rule.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace hotplug {

/// Conditions on a PCI device. All that are set must hold; without any it matches nothing.
struct PciMatch {
  std::optional<std::string> address; ///< "0000:01:00.0"
  std::optional<std::uint16_t> vendor_id, device_id;
  std::optional<std::uint8_t> device_class, device_subclass, device_prog_if;
  std::string description;
  bool enabled = true; ///< false: ignored
  bool operator==(const PciMatch&) const = default;
};

/// Which VM a PCI device goes to.
struct PciRule : RuleBase {
  std::vector<PciMatch> allow, deny;
  bool force = false;                ///< also take it when the host uses it, such as a disk with mounted file systems
  bool iommu_add_all = false;        ///< also take the rest of its IOMMU group, unless a rule sends it elsewhere
  bool iommu_skip_if_shared = false; ///< do not take it if its IOMMU group has other devices
  bool auto_ovmf = false;            ///< start the VM with UEFI firmware if this is an NVIDIA graphics card
  bool use_root_bus = false;         ///< at VM start put it on the root bus, not behind a port
  bool operator==(const PciRule&) const = default;
};

extern template class RuleSet<PciRule, PciDevice>;
using PciRules = RuleSet<PciRule, PciDevice>;

} // namespace hotplug
