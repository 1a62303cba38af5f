// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "../guest_machine.hpp"

#include <qemuctl/json.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace qemuctl::detail {

/// An address on a PCI bus, as device properties.
struct PciPlace {
  std::string bus;
  std::string addr; ///< "0x3", or "0x3.0x1" with a function
  bool operator==(const PciPlace&) const = default;
};

/// Where the devices of a machine are on its PCI buses.
struct PciLayout {
  std::vector<Json> bridges; ///< root ports and bridges, to be added before the devices
  std::vector<PciPlace> devices;
};

enum class PciNeed {
  anything,
  root_port, ///< if the machine has them: devices directly on the root bus cannot be unplugged
};

/// Places `devices` and `hotplug_ports` empty root ports.
///
/// Devices take the slots of the root bus in order from the first, and ports take them from the last, eight sharing a
/// slot as its functions; so adding one of either moves no other as long as slots remain. After that, the last devices
/// go behind root ports of their own, or behind bridges on a machine with conventional PCI. (QEMU accepts conventional
/// devices behind root ports, too.) nullopt: the machine cannot hold that many.
///
/// Each root port has its own chassis and slot number: QEMU rejects duplicates.
std::optional<PciLayout> lay_out_pci(const PciRoot& root, const std::vector<PciNeed>& devices,
                                     std::size_t hotplug_ports);

} // namespace qemuctl::detail
