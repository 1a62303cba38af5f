// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "last_input.hpp"

#include "pci_group.hpp"

#include <hotplug/explanation.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

namespace hotplug::detail {

namespace {

/// A kind of device that a person operates the host with.
struct Means {
  const char* name;
  UsbClass boot_interface; ///< which firmware can use, and which is known also while the host may not use the device
  std::vector<std::string> kinds; ///< udev's names for it
};

bool is_one(const Device& device, const std::vector<HostInput>& inputs, const Means& means) {
  if (const auto* usb = std::get_if<UsbDevice>(&device))
    if (std::ranges::find(usb->interfaces, means.boot_interface) != usb->interfaces.end()) return true;
  const std::string& path = sys_path_of(device);
  return kind_of(device) != DeviceKind::pci && std::ranges::any_of(inputs, [&](const HostInput& input) {
           return (input.sys_path == path || input.sys_path.starts_with(path + "/")) &&
                  std::ranges::any_of(means.kinds, [&](const auto& kind) { return input.kinds.contains(kind); });
         });
}

} // namespace

std::vector<std::string> last_input_warnings(const std::vector<Device>& devices, const std::vector<HostInput>& inputs,
                                             const Rules& rules) {
  // With a controller everything behind it leaves the host.
  std::vector<PciDevice> cards;
  for (const Device& device : devices)
    if (const auto* card = std::get_if<PciDevice>(&device)) cards.push_back(*card);
  const std::map<std::string, PciVerdict> verdicts = decide_pci(cards, rules.pci());
  const auto vms_of = [&](const Device& device) {
    std::vector<std::string> vms = rules.evaluate(device).vms;
    for (const PciDevice& card : cards)
      if (vms.empty() && sys_path_of(device).starts_with(card.sys_path + "/")) vms = verdicts.at(card.address()).vms;
    return vms;
  };
  const std::vector<Means> all{
      {"keyboard", {3, 1, 1}, {"ID_INPUT_KEYBOARD"}},
      {"pointer", {3, 1, 2}, {"ID_INPUT_MOUSE", "ID_INPUT_TOUCHPAD", "ID_INPUT_TABLET", "ID_INPUT_TOUCHSCREEN"}}};
  std::vector<std::string> warnings;
  for (const Means& means : all) {
    std::vector<std::string> taken;
    bool stays = false;
    for (const Device& device : devices) {
      if (!is_one(device, inputs, means)) continue;
      const std::vector<std::string> vms = vms_of(device);
      stays = stays || vms.empty();
      if (!vms.empty()) taken.push_back(fmt::format("{} (to {})", short_description(device), fmt::join(vms, " or ")));
    }
    if (!stays && !taken.empty())
      warnings.push_back(
          fmt::format("the rules leave this host no {}: they take {}", means.name, fmt::join(taken, ", ")));
  }
  return warnings;
}

} // namespace hotplug::detail
