// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "choices.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

namespace hotplug::detail {

using qemuctl::Json;

namespace {

constexpr const char* selected_key = "selected_vms";
constexpr const char* detached_key = "disconnected_devices";
constexpr const char* own_key = "qemuctl";

bool worth_keeping(const Choice& choice) {
  return choice.selected || choice.detached || choice.attached;
}

struct StateId {
  std::string operator()(const UsbDevice& device) const {
    return fmt::format("usb-{:04x}:{:04x}:{}", device.vendor_id, device.product_id, device.serial);
  }
  std::string operator()(const InputDevice& device) const {
    return fmt::format("evdev-{}:{}", device.path_tag, device.name);
  }
  std::string operator()(const PciDevice& device) const { return "pci-" + device.address(); }
};

/// The optional string member of an object.
std::optional<std::string> text(const Json& object, std::string_view key) {
  const Json* value = object.find(key);
  return value && !value->is_null() ? std::optional(value->as_string()) : std::nullopt;
}

Json written(const Choice& choice) {
  Json json;
  json.set("id", choice.id);
  json.set("connector", choice.identity->connector);
  json.set("serial", choice.identity->serial);
  json.set("fingerprint", choice.identity->fingerprint);
  if (choice.selected) json.set("selected", *choice.selected);
  if (!choice.rom_file.empty()) json.set("romFile", choice.rom_file);
  if (choice.detached) json.set("disconnected", true);
  if (choice.attached) json.set("attached", *choice.attached);
  return json;
}

} // namespace

std::string state_id(const Device& device) {
  return std::visit(StateId(), device);
}

const Choice* Choices::find(const Device& device) const {
  const std::string id = state_id(device);
  const Identity identity = identity_of(device);
  const Choice* same_serial = nullptr;
  const Choice* same_ids = nullptr;
  for (const Choice& choice : entries_) {
    if (choice.identity == identity) return &choice;
    if (choice.id != id) continue;
    if (!choice.identity)
      same_ids = &choice;
    else if (!identity.serial.empty() && choice.identity->fingerprint == identity.fingerprint)
      same_serial = &choice;
  }
  return same_serial ? same_serial : same_ids;
}

Choice& Choices::entry(const Device& device, bool moved) {
  const Identity identity = identity_of(device);
  const Choice* known = find(device);
  const auto own = std::find_if(entries_.begin(), entries_.end(), [&](const Choice& choice) {
    return choice.identity == identity || (moved && &choice == known && choice.identity);
  });
  Choice choice;
  if (own != entries_.end()) {
    choice = std::move(*own);
    entries_.erase(own);
  } else {
    if (known) choice = *known;
    choice.id = state_id(device);
  }
  choice.identity = identity;
  std::erase_if(entries_, [](const Choice& each) { return !worth_keeping(each); });
  if (entries_.size() >= most_entries) entries_.erase(entries_.begin());
  return entries_.emplace_back(std::move(choice));
}

Json Choices::to_json() const {
  Json selected = Json::object(), detached = Json::array(), own = Json::array();
  std::set<std::string> listed;
  for (const Choice& choice : entries_) {
    if (choice.selected) selected.set(choice.id, *choice.selected);
    if (choice.detached && listed.insert(choice.id).second) detached.push_back(choice.id);
    if (choice.identity && worth_keeping(choice)) own.push_back(written(choice));
  }
  Json json;
  json.set(selected_key, std::move(selected));
  json.set(detached_key, std::move(detached));
  json.set(own_key, std::move(own));
  return json;
}

Choices Choices::from_json(const Json& json) {
  Choices choices;
  json.as_object();
  std::set<std::string> known;
  if (const Json* own = json.find(own_key))
    for (const Json& item : own->as_array()) {
      Choice choice;
      choice.id = item.at("id").as_string();
      choice.identity =
          Identity{item.at("connector").as_string(), item.at("serial").as_string(), item.at("fingerprint").as_string()};
      choice.selected = text(item, "selected");
      choice.rom_file = text(item, "romFile").value_or("");
      choice.attached = text(item, "attached");
      if (const Json* detached = item.find("disconnected")) choice.detached = detached->as_bool();
      known.insert(choice.id);
      choices.entries_.push_back(std::move(choice));
    }
  // vhotplug's keys are for all devices with these ids; where we have an entry of our own they are only a copy.
  const auto of_vhotplug = [&](const std::string& id) -> Choice* {
    if (known.contains(id)) return nullptr;
    const auto found = std::find_if(choices.entries_.begin(), choices.entries_.end(),
                                    [&](const Choice& choice) { return choice.id == id; });
    if (found != choices.entries_.end()) return &*found;
    Choice choice;
    choice.id = id;
    return &choices.entries_.emplace_back(std::move(choice));
  };
  if (const Json* selected = json.find(selected_key))
    for (const auto& [id, vm] : selected->as_object())
      if (Choice* choice = of_vhotplug(id)) choice->selected = vm.as_string();
  if (const Json* detached = json.find(detached_key))
    for (const Json& id : detached->as_array())
      if (Choice* choice = of_vhotplug(id.as_string())) choice->detached = true;
  if (choices.entries_.size() > most_entries)
    choices.entries_.erase(choices.entries_.begin(),
                           choices.entries_.end() - static_cast<std::ptrdiff_t>(most_entries));
  return choices;
}

} // namespace hotplug::detail
