// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "api_message.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace hotplug::detail {

using qemuctl::Json;

namespace {

Json names(const std::vector<std::string>& list) {
  Json json = Json::array();
  for (const std::string& name : list) json.push_back(name);
  return json;
}

/// ":030102:080650:", as udev writes interfaces.
std::string interfaces_text(const std::vector<UsbClass>& interfaces) {
  std::string result;
  for (const UsbClass& each : interfaces)
    result +=
        fmt::format("{}{:02x}{:02x}{:02x}", result.empty() ? ":" : "", each.code, each.subclass, each.protocol) + ":";
  return result;
}

} // namespace

Json to_json(const UsbState& usb, const UsbRules& rules) {
  const UsbDevice& device = usb.device;
  Json json;
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
  json.set("allowed_vms", names(usb.allowed_vms));
  if (usb.vm) json.set("vm", *usb.vm);
  json.set("port_path", device.port_path());
  if (usb.rule && *usb.rule < rules.rules().size())
    if (const std::string& tag = rules.rules()[*usb.rule].tag; !tag.empty()) json.set("tag", tag);
  if (usb.target) json.set("target_vm", *usb.target);
  if (usb.foreign) json.set("foreign", true);
  if (usb.detached) json.set("disconnected", true);
  if (usb.select) json.set("select", true);
  if (!usb.degraded.empty()) json.set("degraded", usb.degraded);
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

Json to_json(const Notification& notification, const UsbRules& rules) {
  using Kind = Notification::Kind;
  Json json;
  json.set("event", to_string(notification.kind));
  if (notification.kind == Kind::vm_state) {
    json.set("vm", notification.vm);
    json.set("link", to_string(notification.link));
    if (!notification.text.empty()) json.set("problem", notification.text);
    return json;
  }
  json.set("usb_device", to_json(notification.usb, rules));
  if (!notification.vm.empty()) json.set("vm", notification.vm);
  if (notification.kind == Kind::usb_select_vm) json.set("allowed_vms", names(notification.usb.allowed_vms));
  if (notification.kind == Kind::device_degraded) json.set("reason", notification.text);
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
