// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "api_message.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace hotplug::detail {

using qemuctl::Json;

namespace {

/// ":030102:080650:", as udev writes interfaces.
std::string interfaces_text(const std::vector<UsbClass>& interfaces) {
  std::string result;
  for (const UsbClass& each : interfaces)
    result +=
        fmt::format("{}{:02x}{:02x}{:02x}", result.empty() ? ":" : "", each.code, each.subclass, each.protocol) + ":";
  return result;
}

void describe(Json& json, const UsbDevice& device) {
  json.set("device_node", device.device_node);
  json.set("vid", fmt::format("{:04x}", device.vendor_id));
  json.set("pid", fmt::format("{:04x}", device.product_id));
  json.set("vendor_name", device.vendor_name);
  json.set("product_name", device.product_name);
  json.set("interfaces", interfaces_text(device.interfaces));
  json.set("device_class", device.device_class.code);
  json.set("device_subclass", device.device_class.subclass);
  json.set("device_protocol", device.device_class.protocol);
  json.set("busnum", device.bus);
  json.set("devnum", device.address);
  json.set("portnum", device.root_port());
  json.set("serial", device.serial);
  json.set("sys_name", device.sys_name);
}

void describe(Json& json, const PciDevice& device) {
  json.set("address", device.address());
  json.set("driver", device.driver);
  json.set("vendor_id", device.vendor_id);
  json.set("device_id", device.device_id);
  json.set("vid", fmt::format("{:04x}", device.vendor_id));
  json.set("did", fmt::format("{:04x}", device.device_id));
  json.set("vendor_name", device.vendor_name);
  json.set("device_name", device.device_name);
  json.set("pci_class", device.device_class.code);
  json.set("pci_subclass", device.device_class.subclass);
  json.set("pci_prog_if", device.device_class.prog_if);
  json.set("pci_subsystem_vendor_id", device.subsystem_vendor_id);
  json.set("pci_subsystem_id", device.subsystem_id);
}

void describe(Json& json, const InputDevice& device) {
  json.set("device_node", device.device_node);
  json.set("name", device.name);
  json.set("path_tag", device.path_tag);
  json.set("sys_name", device.sys_name);
}

/// What vhotplug has no word for.
void describe_more(Json& json, const DeviceState& state) {
  if (const auto* usb = std::get_if<UsbDevice>(&state.device)) json.set("port_path", usb->port_path());
  const auto* pci = std::get_if<PciDevice>(&state.device);
  if (pci) json.set("iommu_member", state.iommu_member);
  if (pci && pci->iommu_group) json.set("iommu_group", *pci->iommu_group);
}

} // namespace

std::string member_name(DeviceKind kind) {
  return std::string(to_string(kind)) + "_device";
}

const RuleBase* rule_of(const DeviceState& state, const Rules& rules) {
  // The rule of an event may have been removed by a reload since.
  return state.rule ? rules.find(kind_of(state.device), *state.rule) : nullptr;
}

Json to_json(const DeviceState& state, const Rules& rules) {
  Json json;
  std::visit([&](const auto& device) { describe(json, device); }, state.device);
  json.set("allowed_vms", to_json(state.allowed_vms));
  if (state.vm) json.set("vm", *state.vm);
  describe_more(json, state);
  if (const RuleBase* rule = rule_of(state, rules); rule && !rule->tag.empty()) json.set("tag", rule->tag);
  if (state.target) json.set("target_vm", *state.target);
  if (state.foreign) json.set("foreign", true);
  if (state.detached) json.set("disconnected", true);
  if (state.suspended) json.set("suspended", true);
  if (state.select) json.set("select", true);
  if (!state.degraded.empty()) json.set("degraded", state.degraded);
  return json;
}

Json to_json(const VmState& vm, const qemuctl::VmStatus* status) {
  Json json;
  json.set("name", vm.name);
  if (status) {
    json.set("state", qemuctl::to_string(status->state));
    if (!status->run_state.empty()) json.set("run_state", status->run_state);
    if (!status->reason.empty()) json.set("reason", status->reason);
  }
  json.set("link", to_string(vm.link));
  if (vm.pid) json.set("pid", *vm.pid);
  if (!vm.problem.empty()) json.set("problem", vm.problem);
  return json;
}

Json to_json(const Notification& notification, const Rules& rules) {
  using Kind = Notification::Kind;
  Json json;
  json.set("event", event_name(notification));
  if (notification.kind == Kind::vm_state) {
    json.set("vm", notification.vm);
    json.set("state", qemuctl::to_string(notification.state));
    return json;
  }
  json.set(member_name(kind_of(notification.device.device)), to_json(notification.device, rules));
  if (!notification.vm.empty()) json.set("vm", notification.vm);
  if (notification.kind == Kind::select_vm) json.set("allowed_vms", to_json(notification.device.allowed_vms));
  if (notification.kind == Kind::degraded) json.set("reason", notification.text);
  return json;
}

Json to_json(const std::vector<std::string>& list) {
  Json json = Json::array();
  for (const std::string& each : list) json.push_back(each);
  return json;
}

Json ok_answer() {
  Json json;
  json.set("result", "ok");
  return json;
}

Json failed_answer(std::string_view error) {
  Json json;
  json.set("result", "failed");
  json.set("error", error);
  return json;
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    for (std::size_t j = 0; j < 3; ++j)
      group = group << 8 | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0U);
    for (std::size_t j = 0; j < 4; ++j) text += i + j <= bytes.size() ? digits[group >> (18 - 6 * j) & 63] : '=';
  }
  return text;
}

} // namespace hotplug::detail
