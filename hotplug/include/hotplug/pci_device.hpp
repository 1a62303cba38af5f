// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hotplug/identity.hpp>

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace hotplug {

/// A PCI class code with subclass and programming interface.
struct PciClass {
  std::uint8_t code = 0, subclass = 0, prog_if = 0;
  auto operator<=>(const PciClass&) const = default;
};

/// A PCI device of the host that is not a bridge.
struct PciDevice {
  std::string sys_path; ///< "/sys/devices/pci0000:00/0000:00:1c.0/0000:01:00.0"
  std::string sys_name; ///< the address, "0000:01:00.0"
  std::uint16_t vendor_id = 0, device_id = 0;
  std::uint16_t subsystem_vendor_id = 0, subsystem_id = 0;
  PciClass device_class;
  std::string vendor_name, device_name; ///< from udev's hardware database; may be empty
  std::string driver;                   ///< bound kernel driver, "e1000e"; empty: none
  std::optional<int> iommu_group;       ///< unset when the host has no IOMMU or does not use it
  Identity identity;                    ///< address and ids

  const std::string& address() const noexcept { return sys_name; }
  bool operator==(const PciDevice&) const = default;
};

/// The class code of bridges, including a chipset's ISA bridge.
inline constexpr std::uint8_t pci_bridge_class = 6;

/// What udev and sysfs know about a PCI device.
struct PciRecord {
  std::string sys_path;
  std::map<std::string, std::string, std::less<>> properties; ///< udev's
  std::map<std::string, std::string, std::less<>> attributes; ///< sysfs's, of those in `pci_attributes`
  std::string driver, iommu_group;                            ///< targets of the links of these names; empty: none
};

/// The sysfs attributes that are read.
const std::vector<std::string>& pci_attributes();

/// The device that a record describes. Pure. nullopt for a bridge and for a record without ids.
std::optional<PciDevice> make_pci_device(const PciRecord& record);

/// Whether this is a full PCI address, with domain: "0000:01:00.0".
bool is_pci_address(const std::string& text);

} // namespace hotplug
