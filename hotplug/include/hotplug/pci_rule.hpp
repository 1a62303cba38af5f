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

/// Conditions for a PCI device. All that are there must hold; none at all match no device.
struct PciMatch {
  std::optional<std::string> address; ///< "0000:01:00.0"
  std::optional<std::uint16_t> vendor_id, device_id;
  std::optional<std::uint8_t> device_class, device_subclass, device_prog_if;
  std::string description;
  bool enabled = true; ///< otherwise it is as if it were not there
  bool operator==(const PciMatch&) const = default;
};

/// Which VM a PCI device goes to.
struct PciRule : RuleBase {
  std::vector<PciMatch> allow, deny;
  bool iommu_add_all = false;        ///< with all others of its IOMMU group that no rule sends elsewhere
  bool iommu_skip_if_shared = false; ///< not at all, when there are others in its IOMMU group
  bool auto_ovmf = false;    ///< a VM that is started with it has UEFI firmware, if it is a graphics card of NVIDIA's
  bool use_root_bus = false; ///< a VM that is started with it has it on its root bus, not behind a port
  bool operator==(const PciRule&) const = default;
};

extern template class RuleSet<PciRule, PciDevice>;
using PciRules = RuleSet<PciRule, PciDevice>;

} // namespace hotplug
