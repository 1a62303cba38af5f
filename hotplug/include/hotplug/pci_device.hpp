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

/// A class code of the PCI-SIG with its subclass and programming interface.
struct PciClass {
  std::uint8_t code = 0, subclass = 0, prog_if = 0;
  auto operator<=>(const PciClass&) const = default;
};

/// A PCI device of the host, bridges not among them: they stay with the host.
struct PciDevice {
  std::string sys_path; ///< "/sys/devices/pci0000:00/0000:00:1c.0/0000:01:00.0": as long as it is plugged in
  std::string sys_name; ///< its address: "0000:01:00.0"
  std::uint16_t vendor_id = 0, device_id = 0;
  std::uint16_t subsystem_vendor_id = 0, subsystem_id = 0;
  PciClass device_class;
  std::string vendor_name, device_name; ///< from udev's hardware database; may be empty
  std::string driver;                   ///< that the kernel has bound to it: "e1000e"; empty: none
  std::optional<int> iommu_group;       ///< unset: the host has no IOMMU, or does not use it
  Identity identity;                    ///< address and ids

  const std::string& address() const noexcept { return sys_name; }
  bool operator==(const PciDevice&) const = default;
};

/// The class code of bridges, and of what a chipset has for others, such as its ISA bridge.
inline constexpr std::uint8_t pci_bridge_class = 6;

/// What udev and sysfs know of a PCI device.
struct PciRecord {
  std::string sys_path;
  std::map<std::string, std::string, std::less<>> properties; ///< udev's
  std::map<std::string, std::string, std::less<>> attributes; ///< sysfs's, of those in `pci_attributes`
  std::string driver, iommu_group;                            ///< what the links of that name lead to; empty: none
};

/// The attributes that are read.
const std::vector<std::string>& pci_attributes();

/// The device that a record describes. Pure. nullopt: it is none to pass to a VM (a bridge, or it has no ids).
std::optional<PciDevice> make_pci_device(const PciRecord& record);

/// Whether this is an address with its domain: "0000:01:00.0".
bool is_pci_address(const std::string& text);

} // namespace hotplug
