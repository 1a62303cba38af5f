// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "rest_resources.hpp"

#include "api_message.hpp"
#include "http_message.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <variant>

namespace hotplug::detail {

using qemuctl::Json;

namespace {

/// Ids of devices that have gone are kept for what is still to be reported of them; so many of them.
constexpr std::size_t most_gone = 1024;

Json or_null(const std::optional<std::string>& text) {
  return text ? Json(*text) : Json();
}

Json text_or_null(const std::string& text) {
  return text.empty() ? Json() : Json(text);
}

/// "A name" of "A" and "name", whichever there are.
std::string joined(const std::string& vendor, const std::string& product) {
  if (vendor.empty() || product.empty() || product.starts_with(vendor)) return product.empty() ? vendor : product;
  return vendor + " " + product;
}

void describe(Json& json, const UsbDevice& device) {
  json.set("name", joined(device.vendor_name, device.product_name));
  json.set("ids", fmt::format("{:04x}:{:04x}", device.vendor_id, device.product_id));
  json.set("place", device.port_path());
  Json usb;
  usb.set("vendorId", fmt::format("{:04x}", device.vendor_id));
  usb.set("productId", fmt::format("{:04x}", device.product_id));
  usb.set("vendorName", device.vendor_name);
  usb.set("productName", device.product_name);
  usb.set("serial", device.serial);
  usb.set("bus", device.bus);
  usb.set("address", device.address);
  usb.set("deviceNode", device.device_node);
  usb.set("deviceClass", device.device_class.code);
  usb.set("speed", device.speed);
  usb.set("removable", device.removable);
  Json interfaces = Json::array();
  for (const UsbClass& each : device.interfaces) {
    Json interface;
    interface.set("class", each.code);
    interface.set("subclass", each.subclass);
    interface.set("protocol", each.protocol);
    interfaces.push_back(std::move(interface));
  }
  usb.set("interfaces", std::move(interfaces));
  json.set("usb", std::move(usb));
}

void describe(Json& json, const PciDevice& device) {
  json.set("name", joined(device.vendor_name, device.device_name));
  json.set("ids", fmt::format("{:04x}:{:04x}", device.vendor_id, device.device_id));
  json.set("place", device.address());
  Json pci;
  pci.set("vendorId", fmt::format("{:04x}", device.vendor_id));
  pci.set("deviceId", fmt::format("{:04x}", device.device_id));
  pci.set("vendorName", device.vendor_name);
  pci.set("deviceName", device.device_name);
  pci.set("class", device.device_class.code);
  pci.set("subclass", device.device_class.subclass);
  pci.set("progIf", device.device_class.prog_if);
  pci.set("driver", text_or_null(device.driver));
  pci.set("iommuGroup", device.iommu_group ? Json(*device.iommu_group) : Json());
  json.set("pci", std::move(pci));
}

void describe(Json& json, const InputDevice& device) {
  json.set("name", device.name);
  json.set("ids", "");
  json.set("place", device.path_tag.empty() ? device.sys_name : device.path_tag);
  Json input;
  input.set("deviceNode", device.device_node);
  input.set("pathTag", device.path_tag);
  Json kinds = Json::array();
  for (const auto& [property, kind] : {std::pair("ID_INPUT_KEYBOARD", "keyboard"),
                                       {"ID_INPUT_MOUSE", "mouse"},
                                       {"ID_INPUT_TOUCHPAD", "touchpad"},
                                       {"ID_INPUT_TOUCHSCREEN", "touchscreen"},
                                       {"ID_INPUT_TABLET", "tablet"},
                                       {"ID_INPUT_JOYSTICK", "joystick"}})
    if (const auto found = device.properties.find(property); found != device.properties.end() && found->second == "1")
      kinds.push_back(kind);
  input.set("kinds", std::move(kinds));
  json.set("input", std::move(input));
}

/// Letters and digits of what a device calls itself.
std::string slug(const std::string& name) {
  std::string result;
  for (const char c : name) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (letter)
      result += c;
    else if (!result.empty() && result.back() != '_')
      result += '_';
  }
  constexpr std::size_t enough = 40;
  return result.substr(0, enough);
}

/// An id that no other device has, unless it is an input device beside others.
std::string plain_id(const Device& device) {
  if (const auto* usb = std::get_if<UsbDevice>(&device)) return "usb-" + usb->port_path();
  if (const auto* pci = std::get_if<PciDevice>(&device)) return "pci-" + pci->address();
  const auto& input = std::get<InputDevice>(device);
  return "input-" + (input.path_tag.empty() ? input.sys_name : input.path_tag);
}

std::string foreign_in(const DeviceState& device) {
  return fmt::format("VM {} has it, and this service did not put it there", device.vm.value_or("?"));
}

/// Why the device cannot go into that VM, for this viewer; empty: it can.
std::string obstacle(const DeviceState& device, const VmState& vm, const Viewer& viewer) {
  if (device.vm == vm.name) return "it is there";
  if (device.foreign) return foreign_in(device);
  if (device.allowed_vms.empty()) return "no rule lets it into a VM";
  if (std::ranges::find(device.allowed_vms, vm.name) == device.allowed_vms.end())
    return fmt::format("the rules let it only into {}", fmt::join(device.allowed_vms, ", "));
  if (std::string reason = why_not(vm); !reason.empty()) return reason;
  if (viewer.rights.in(vm.name) < ApiLevel::attach) return fmt::format("you may not move devices of VM {}", vm.name);
  return viewer.held;
}

/// Why it cannot be given back to the host, or kept there, by this viewer; empty: it can.
std::string obstacle_to_detaching(const DeviceState& device, const Viewer& viewer) {
  if (device.foreign) return foreign_in(device);
  if (!viewer.held.empty() || device.vm) return viewer.held;
  if (device.allowed_vms.empty() || device.detached) return "it is there";
  const bool permitted = std::ranges::any_of(
      device.allowed_vms, [&](const std::string& vm) { return viewer.rights.in(vm) >= ApiLevel::attach; });
  return permitted ? "" : "you may not decide about it";
}

void add_possibility(Json& json, const std::string& obstacle) {
  json.set("possible", obstacle.empty());
  json.set("reason", text_or_null(obstacle));
}

Json rule_summary(const RuleBase& rule, std::size_t index) {
  Json json;
  json.set("index", index);
  json.set("description", rule.description);
  json.set("tag", text_or_null(rule.tag));
  return json;
}

template<typename R>
void add_rules(Json& list, DeviceKind kind, const std::vector<R>& rules) {
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const R& rule = rules[i];
    Json json;
    json.set("kind", kind == DeviceKind::input ? "input" : to_string(kind));
    json.set("index", i);
    json.set("description", rule.description);
    json.set("tag", text_or_null(rule.tag));
    json.set("vms", to_json(rule.vms));
    json.set("enabled", rule.enabled);
    json.set("skipOnSuspend", rule.skip_on_suspend);
    bool force = false; // input devices stay the host's as well
    if constexpr (requires { rule.force; }) force = rule.force;
    json.set("force", force);
    list.push_back(std::move(json));
  }
}

} // namespace

std::vector<std::string> DeviceIds::of(const std::vector<DeviceState>& devices) {
  std::vector<std::string> ids(devices.size());
  std::set<std::string> used;
  std::vector<std::pair<int, std::size_t>> inputs; // new ones, by the number that the kernel uses once
  for (std::size_t i = 0; i < devices.size(); ++i) {
    if (const auto known = ids_.find(sys_path_of(devices[i].device)); known != ids_.end())
      used.insert(ids[i] = known->second);
    else if (const auto* input = std::get_if<InputDevice>(&devices[i].device))
      inputs.emplace_back(input->input, i);
    else
      ids[i] = plain_id(devices[i].device);
  }
  std::ranges::sort(inputs);
  for (const auto& [number, i] : inputs) { // parts of one device share a path tag
    const auto& input = std::get<InputDevice>(devices[i].device);
    ids[i] = plain_id(devices[i].device);
    if (used.contains(ids[i])) ids[i] += "-" + slug(input.name);
    if (used.contains(ids[i])) ids[i] += "-" + input.sys_name;
    used.insert(ids[i]);
  }
  if (ids_.size() > devices.size() + most_gone) ids_.clear();
  for (std::size_t i = 0; i < devices.size(); ++i) ids_.insert_or_assign(sys_path_of(devices[i].device), ids[i]);
  return ids;
}

std::string DeviceIds::of(const DeviceState& device) const {
  const auto known = ids_.find(sys_path_of(device.device));
  return known == ids_.end() ? plain_id(device.device) : known->second;
}

std::string why_not(const VmState& vm) {
  switch (vm.link) {
  case LinkState::waiting:
  case LinkState::ended:
    return fmt::format("VM {} does not run", vm.name);
  case LinkState::blocked:
    return vm.problem.empty() ? fmt::format("the monitor of VM {} is not free", vm.name) : vm.problem;
  default:
    return {};
  }
}

std::string_view state_of(const DeviceState& device) {
  if (device.vm && device.foreign) return "foreign";
  if (!device.degraded.empty()) return "problem";
  if (device.vm != device.target) return "moving";
  if (device.vm) return "attached";
  if (device.detached) return "detached";
  if (device.suspended) return "suspended";
  if (device.select) return "waiting";
  return "host";
}

Json device_resource(const DeviceState& device, const std::string& id, const Viewer& viewer,
                     const std::vector<VmState>& vms, const Rules& rules) {
  Json json;
  const DeviceKind kind = kind_of(device.device);
  json.set("id", id);
  json.set("kind", kind == DeviceKind::input ? "input" : to_string(kind));
  std::visit([&](const auto& each) { describe(json, each); }, device.device);
  json.set("state", state_of(device));
  json.set("vm", or_null(device.vm));
  json.set("targetVm", or_null(device.target));
  json.set("problem", text_or_null(device.degraded));
  json.set("question", Json());
  if (device.select) json.set("question", Json::object({{"vms", to_json(device.allowed_vms)}}));
  json.set("allowedVms", to_json(device.allowed_vms));
  Json targets = Json::array();
  for (const VmState& vm : vms) {
    Json target;
    target.set("vm", vm.name);
    add_possibility(target, obstacle(device, vm, viewer));
    targets.push_back(std::move(target));
  }
  json.set("targets", std::move(targets));
  Json detach;
  add_possibility(detach, obstacle_to_detaching(device, viewer));
  json.set("detach", std::move(detach));
  json.set("foreign", device.foreign);
  json.set("detached", device.detached);
  json.set("suspended", device.suspended);
  // What people write about a rule may name any VM.
  const RuleBase* rule = viewer.rights.everywhere < ApiLevel::read ? nullptr : rule_of(device, rules);
  json.set("rule", rule ? rule_summary(*rule, *device.rule) : Json());
  json.set("etag", etag_of(json.dump()));
  return json;
}

Json vm_resource(const VmState& vm, const std::vector<DeviceState>& devices, const std::vector<std::string>& ids) {
  const bool runs = vm.link != LinkState::waiting && vm.link != LinkState::ended;
  Json json;
  json.set("name", vm.name);
  json.set("state", qemuctl::to_string(vm.status.state));
  json.set("runState", text_or_null(vm.status.run_state));
  json.set("reason", text_or_null(vm.status.reason));
  json.set("running", runs);
  json.set("monitor", to_string(vm.link));
  json.set("monitorKept", vm.keeps_monitor);
  json.set("problem", text_or_null(vm.problem));
  json.set("pid", vm.pid ? Json(*vm.pid) : Json());
  json.set("takesDevices", why_not(vm).empty());
  Json has = Json::array();
  for (std::size_t i = 0; i < devices.size(); ++i)
    if (devices[i].vm == vm.name) has.push_back(ids[i]);
  json.set("devices", std::move(has));
  Json actions = Json::array();
  if (!runs && vm.can_start) actions.push_back("start");
  if (runs && vm.link != LinkState::blocked) {
    const bool paused = vm.status.state == qemuctl::State::paused || vm.status.state == qemuctl::State::prelaunch;
    for (const char* action : {"shutdown", "stop", "reset", "send-key"}) actions.push_back(action);
    if (vm.status.state != qemuctl::State::shutdown) actions.push_back(paused ? "resume" : "pause");
  }
  json.set("actions", std::move(actions));
  return json;
}

Json permission_resource(const Rights& rights) {
  Json vms = Json::object();
  for (const auto& [vm, level] : rights.in_vm) vms.set(vm, to_string(level));
  Json json;
  json.set("everywhere", to_string(rights.everywhere));
  json.set("vms", std::move(vms));
  return json;
}

Json rule_resources(const Rules& rules) {
  Json list = Json::array();
  add_rules(list, DeviceKind::usb, rules.usb().rules());
  add_rules(list, DeviceKind::pci, rules.pci().rules());
  add_rules(list, DeviceKind::input, rules.input().rules());
  return list;
}

} // namespace hotplug::detail
