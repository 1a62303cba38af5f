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

std::string slot_address(std::size_t slot) {
  return fmt::format("0x{:x}", slot);
}

class Layout {
 public:
  explicit Layout(const PciRoot& root) : root_(root), next_slot_(root.first_slot) {}

  void place_on_root(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) layout_.devices.push_back({root_.bus, slot_address(next_slot_++)});
  }

  /// Root ports, in the last slots; the functions of a slot are found by the guest only when it has function 0 and that
  /// says so.
  void add_ports(std::size_t hotplug, std::size_t occupied) {
    const std::size_t count = hotplug + occupied;
    next_slot_ = root_.last_slot + 1 - slots_for_ports(count);
    for (std::size_t i = 0; i < count; ++i) {
      const std::string id = i < hotplug ? hotplug_port_id(i) : fmt::format("port{}", i - hotplug);
      Json port = Json::object({{"driver", "pcie-root-port"},
                                {"id", id},
                                {"bus", root_.bus},
                                {"addr", fmt::format("0x{:x}.0x{:x}", next_slot_ + i / functions, i % functions)},
                                {"chassis", i + 1},
                                {"slot", i + 1}});
      if (i % functions == 0 && i + 1 < count) port.set("multifunction", true);
      layout_.bridges.push_back(std::move(port));
      if (i >= hotplug) layout_.devices.push_back({id, "0x0"});
    }
  }

  void add_bridges(std::size_t devices) {
    next_slot_ = root_.last_slot + 1 - (devices + bridge_slots - 1) / bridge_slots;
    for (std::size_t number = 1; devices > 0; ++number) {
      const std::string id = fmt::format("bridge{}", number - 1);
      layout_.bridges.push_back(Json::object({{"driver", "pci-bridge"},
                                              {"id", id},
                                              {"bus", root_.bus},
                                              {"addr", slot_address(next_slot_++)},
                                              {"chassis_nr", number}}));
      const std::size_t here = std::min(devices, bridge_slots);
      for (std::size_t slot = 1; slot <= here; ++slot) layout_.devices.push_back({id, slot_address(slot)});
      devices -= here;
    }
  }

  PciLayout take() { return std::move(layout_); }

 private:
  const PciRoot& root_;
  std::size_t next_slot_;
  PciLayout layout_;
};

} // namespace

std::optional<PciLayout> lay_out_pci(const PciRoot& root, std::size_t devices, std::size_t hotplug_ports) {
  const std::size_t slots = root.last_slot - root.first_slot + 1;
  const auto slots_needed = [&](std::size_t behind) {
    const std::size_t others =
        root.express ? slots_for_ports(hotplug_ports + behind) : (behind + bridge_slots - 1) / bridge_slots;
    return devices - behind + others;
  };
  std::size_t behind = 0;
  while (behind < devices && slots_needed(behind) > slots) ++behind;
  if (slots_needed(behind) > slots || hotplug_ports + behind > max_chassis) return std::nullopt;

  Layout layout(root);
  layout.place_on_root(devices - behind);
  if (root.express)
    layout.add_ports(hotplug_ports, behind);
  else
    layout.add_bridges(behind);
  return layout.take();
}

} // namespace qemuctl::detail
