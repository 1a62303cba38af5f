// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "cli_devices.hpp"

#include "cli_table.hpp"
#include "text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <regex>
#include <stdexcept>
#include <string_view>
#include <vector>

namespace tool {

using qemuctl::Json;

namespace {

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

std::string joined(const Json* list, const char* separator) {
  std::string text;
  if (!list || !list->is_array()) return text;
  for (const Json& item : list->as_array())
    if (item.is_string()) text += (text.empty() ? "" : separator) + item.as_string();
  return text;
}

/// "046d:c52b"; empty when the device has no ids.
std::string ids_of(const Json& device) {
  const std::string vendor = text_of(device, "vid");
  const std::string product = text_of(device, device.contains("did") ? "did" : "pid");
  return vendor.empty() && product.empty() ? std::string() : vendor + ":" + product;
}

std::string name_of(const Json& device) {
  std::string name;
  for (const char* key : {"vendor_name", "product_name", "device_name", "name"})
    if (const std::string part = text_of(device, key); !part.empty()) name += (name.empty() ? "" : " ") + part;
  return name;
}

/// What a device is called first of all: a port, an address, or a node.
std::string place_of(const Json& device) {
  for (const char* key : {"port_path", "address", "device_node"})
    if (std::string place = text_of(device, key); !place.empty()) return place;
  return {};
}

bool is_called(const Json& device, const std::string& name) {
  constexpr std::array keys{"device_node", "port_path", "sys_name", "address"};
  return std::any_of(keys.begin(), keys.end(), [&](const char* key) { return text_of(device, key) == name; }) ||
         ids_of(device) == lower(name) || text_of(device, "address") == "0000:" + name;
}

/// "/dev/bus/usb/003/005", "3-1.4", "046d:c52b", "0000:01:00.0", "01:00.0"
bool is_place_or_ids(const std::string& name) {
  static const std::regex shape("[0-9]+-[0-9]+(\\.[0-9]+)*|[0-9a-f]{4}:[0-9a-f]{4}|"
                                "([0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}\\.[0-7]",
                                std::regex::icase);
  constexpr std::size_t longest = 256; // std::regex recurses
  return name.starts_with('/') || (name.size() <= longest && std::regex_match(name, shape));
}

bool is_true(const Json& device, const char* key) {
  const Json* value = device.find(key);
  return value && value->is_bool() && value->as_bool();
}

[[noreturn]] void refuse(std::string text, const std::vector<const Json*>& devices) {
  for (const Json* device : devices) text += "\n  " + device_text(*device);
  throw std::runtime_error(text);
}

} // namespace

std::string text_of(const Json& object, const char* key) {
  const Json* value = object.find(key);
  return value && value->is_string() ? value->as_string() : std::string();
}

std::vector<const Json*> matching_devices(const Json& devices, const std::string& name) {
  std::vector<const Json*> called, named, containing;
  for (const Json& device : devices.as_array()) {
    const std::string full = lower(name_of(device));
    if (is_called(device, name)) called.push_back(&device);
    if (full == lower(name)) named.push_back(&device);
    if (full.find(lower(name)) != std::string::npos) containing.push_back(&device);
  }
  // A place or ids that no device has are not looked for in names, where another device could have put them.
  if (!called.empty() || is_place_or_ids(name)) return called;
  return named.empty() ? containing : named;
}

const Json& find_device(const Json& devices, const std::string& name) {
  const std::vector<const Json*> found = matching_devices(devices, name);
  const std::string quoted = Json(name).dump();
  std::vector<const Json*> all;
  for (const Json& device : devices.as_array()) all.push_back(&device);
  if (found.empty())
    refuse(fmt::format("there is no device {}{}", quoted, all.empty() ? "; there are none" : "; there are:"), all);
  if (found.size() > 1) refuse(fmt::format("{} could be:", quoted), found);
  return *found.front();
}

std::string device_text(const Json& device) {
  std::string text = place_of(device);
  for (const std::string& part : {ids_of(device), name_of(device)})
    if (!part.empty()) text += " " + part;
  return qemuctl::detail::printable(text);
}

std::string where_and_why(const Json& device, const VmProblems& vms) {
  const std::string degraded = text_of(device, "degraded");
  if (!text_of(device, "vm").empty()) return is_true(device, "foreign") ? "attached, not by this service" : "attached";
  if (!degraded.empty()) return degraded;
  if (is_true(device, "disconnected")) return "detached until somebody attaches it";
  if (is_true(device, "suspended")) return "detached until it is resumed";
  if (is_true(device, "select")) return "waits until somebody attaches it to one of its VMs";
  const Json* allowed = device.find("allowed_vms");
  if (!allowed || !allowed->is_array() || allowed->size() == 0) return "stays with the host: no rule is for it";
  const std::string target = text_of(device, "target_vm");
  if (target.empty())
    return "was plugged in before the service started: attach it by hand, or start the service with -a";
  const auto problem = vms.find(target);
  if (problem == vms.end()) return "on its way to VM " + target;
  return fmt::format("VM {}: {}", target, problem->second);
}

std::string device_table(const Json& devices, const VmProblems& vms) {
  std::vector<std::vector<std::string>> rows{{"DEVICE", "ID", "NAME", "VM", "ALLOWED", "STATE"}};
  for (const Json& device : devices.as_array())
    rows.push_back({place_of(device), ids_of(device), name_of(device), text_of(device, "vm"),
                    joined(device.find("allowed_vms"), ","), where_and_why(device, vms)});
  return table(rows);
}

std::string vm_table(const Json& vms, const Json& devices) {
  std::vector<std::vector<std::string>> rows{{"VM", "STATE", "PID", "MONITOR", "DEVICES", "PROBLEM"}};
  for (const Json& vm : vms.as_array()) {
    const std::string name = text_of(vm, "name");
    const auto has = [&](const Json& device) { return text_of(device, "vm") == name; };
    const auto& all = devices.as_array();
    const Json* pid = vm.find("pid");
    rows.push_back({name, text_of(vm, "state"), pid ? pid->dump() : "", text_of(vm, "link"),
                    std::to_string(std::count_if(all.begin(), all.end(), has)), text_of(vm, "problem")});
  }
  return table(rows);
}

std::string event_text(const Json& event) {
  std::string text = text_of(event, "event");
  for (const char* kind : {"usb_device", "pci_device", "evdev_device"})
    if (const Json* device = event.find(kind)) text += " " + device_text(*device);
  std::string more;
  for (const std::string& part : {text_of(event, "vm"), text_of(event, "state"), text_of(event, "reason"),
                                  text_of(event, "problem"), joined(event.find("allowed_vms"), " or ")})
    if (!part.empty()) more += (more.empty() ? ": " : ", ") + part;
  return qemuctl::detail::printable(text + more);
}

} // namespace tool
