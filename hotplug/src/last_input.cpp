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

/// A kind of device that a person operates the host with, as USB and as udev know it.
struct Means {
  const char* name;
  UsbClass interface; ///< of the boot protocol, which every usual one has
  std::vector<const char*> properties;
};

bool is_one(const Device& device, const Means& means) {
  if (const auto* usb = std::get_if<UsbDevice>(&device))
    return std::ranges::find(usb->interfaces, means.interface) != usb->interfaces.end();
  const auto* input = std::get_if<InputDevice>(&device);
  return input && std::ranges::any_of(means.properties, [&](const char* property) {
           const auto found = input->properties.find(property);
           return found != input->properties.end() && found->second == "1";
         });
}

} // namespace

std::vector<std::string> last_input_warnings(const std::vector<Device>& devices, const Rules& rules) {
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
      if (!is_one(device, means)) continue;
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
