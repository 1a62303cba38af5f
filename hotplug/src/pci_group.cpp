// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "pci_group.hpp"

#include "vfio.hpp"

#include <fmt/format.h>

#include <utility>

namespace hotplug::detail {

namespace {

/// Whether the kernel lets a process use a group with a device that is bound to this driver.
bool is_out_of_the_way(const std::string& driver) {
  return driver.empty() || driver == "pcieport" || driver == "pci-stub" || driver.starts_with("vfio") ||
         is_for_vms(driver);
}

} // namespace

std::map<std::string, PciVerdict> decide_pci(const std::vector<PciDevice>& devices, const PciRules& rules) {
  std::map<std::string, PciVerdict> verdicts;
  std::map<int, std::vector<const PciDevice*>> groups;
  for (const PciDevice& device : devices) {
    Verdict verdict = rules.evaluate(device);
    verdicts[device.address()] = {verdict.rule, std::move(verdict.vms), false, {}};
    if (device.iommu_group) groups[*device.iommu_group].push_back(&device);
  }
  for (const auto& [group, members] : groups) {
    if (members.size() < 2) continue;
    std::optional<PciVerdict> shared; // of the first that brings all others with it
    for (const PciDevice* device : members) {
      PciVerdict& verdict = verdicts[device->address()];
      if (!verdict.rule) continue;
      const PciRule& rule = rules.rules()[*verdict.rule];
      if (rule.iommu_skip_if_shared) {
        const PciDevice* other = members.front() == device ? members.back() : members.front();
        verdict.vms.clear();
        verdict.skipped =
            fmt::format("{} is in its IOMMU group ({}), too (pciIommuSkipIfShared)", other->address(), group);
      } else if (rule.iommu_add_all && !shared) {
        shared = verdict;
        shared->member = true;
      }
    }
    if (!shared) continue;
    for (const PciDevice* device : members)
      if (PciVerdict& verdict = verdicts[device->address()]; !verdict.rule) verdict = *shared;
  }
  return verdicts;
}

std::string group_obstacle(const PciDevice& device, const std::string& vm, const std::vector<GroupMember>& members) {
  if (!device.iommu_group)
    return "it has no IOMMU group: switch the IOMMU on in the firmware (VT-d, AMD-Vi) and in the kernel "
           "(intel_iommu=on)";
  for (const GroupMember& member : members) {
    if (member.target == vm || member.device.address() == device.address()) continue;
    if (member.target)
      return fmt::format("{} of the same IOMMU group ({}) goes to VM {}, and a group cannot be split",
                         member.device.address(), *device.iommu_group, *member.target);
    if (is_out_of_the_way(member.device.driver)) continue;
    const bool bridge = member.device.device_class.code == pci_bridge_class;
    return fmt::format("{} ({:04x}:{:04x}, used by the host's driver {}) is in the same IOMMU group ({}), and a group "
                       "cannot be split: {}",
                       member.device.address(), member.device.vendor_id, member.device.device_id, member.device.driver,
                       *device.iommu_group,
                       bridge ? "a bridge stays with the host, so its driver has to be unbound, or kept from loading"
                              : "send it to that VM, too, with pciIommuAddAll or a rule of its own");
  }
  return {};
}

} // namespace hotplug::detail
