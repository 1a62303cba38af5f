// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "pci_layout.hpp"

#include "ids.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace qemuctl::detail {

namespace {

constexpr std::size_t functions = 8;     ///< of a slot
constexpr std::size_t bridge_slots = 31; ///< slot 0 of a bridge's bus may be its hot-plug controller
constexpr std::size_t max_chassis = 255;

std::size_t slots_for_ports(std::size_t ports) {
  return (ports + functions - 1) / functions;
}

/// A root port that a device of the start is in.
std::string occupied_port_id(std::size_t index) {
  return fmt::format("port{}", index);
}

std::string bridge_id(std::size_t index) {
  return fmt::format("bridge{}", index);
}

std::string slot_address(std::size_t slot) {
  return fmt::format("0x{:x}", slot);
}

std::size_t slots_for_bridges(std::size_t devices) {
  return (devices + bridge_slots - 1) / bridge_slots;
}

std::vector<Json> root_ports(const PciRoot& root, std::size_t hotplug, std::size_t occupied) {
  const std::size_t count = hotplug + occupied;
  std::vector<Json> ports;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t function = i % functions;
    Json port = Json::object({{"driver", "pcie-root-port"},
                              {"id", i < hotplug ? hotplug_port_id(i) : occupied_port_id(i - hotplug)},
                              {"bus", root.bus},
                              {"addr", fmt::format("0x{:x}.0x{:x}", root.last_slot - i / functions, function)},
                              {"chassis", i + 1},
                              {"slot", i + 1}});
    // The guest looks for the other functions of a slot only when function 0 says that there are some.
    if (function == 0 && i + 1 < count) port.set("multifunction", true);
    ports.push_back(std::move(port));
  }
  return ports;
}

std::vector<Json> bridges(const PciRoot& root, std::size_t count) {
  std::vector<Json> all;
  for (std::size_t i = 0; i < count; ++i)
    all.push_back(Json::object({{"driver", "pci-bridge"},
                                {"id", bridge_id(i)},
                                {"bus", root.bus},
                                {"addr", slot_address(root.last_slot - i)},
                                {"chassis_nr", i + 1}}));
  return all;
}

} // namespace

std::optional<PciLayout> lay_out_pci(const PciRoot& root, const std::vector<PciNeed>& devices,
                                     std::size_t hotplug_ports) {
  const std::size_t slots = root.last_slot - root.first_slot + 1;
  const auto needs_port = [&](PciNeed need) { return root.express && need == PciNeed::root_port; };
  std::size_t on_root = devices.size() - static_cast<std::size_t>(std::ranges::count_if(devices, needs_port));
  const auto slots_needed = [&] {
    const std::size_t behind = devices.size() - on_root;
    return on_root + (root.express ? slots_for_ports(hotplug_ports + behind) : slots_for_bridges(behind));
  };
  while (on_root > 0 && slots_needed() > slots) --on_root;
  const std::size_t behind = devices.size() - on_root;
  if (slots_needed() > slots || (root.express && hotplug_ports + behind > max_chassis)) return std::nullopt;

  PciLayout layout;
  layout.bridges = root.express ? root_ports(root, hotplug_ports, behind) : bridges(root, slots_for_bridges(behind));
  std::size_t placed = 0, moved = 0;
  for (const PciNeed need : devices) {
    if (!needs_port(need) && placed < on_root) {
      layout.devices.push_back({root.bus, slot_address(root.first_slot + placed++)});
    } else if (root.express) {
      layout.devices.push_back({occupied_port_id(moved++), "0x0"});
    } else {
      layout.devices.push_back({bridge_id(moved / bridge_slots), slot_address(1 + moved % bridge_slots)});
      ++moved;
    }
  }
  return layout;
}

} // namespace qemuctl::detail
