// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "api_message.hpp"

#include "nearest_word.hpp"

#include <hotplug/explanation.hpp>
#include <qemuctl/error.hpp>

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <system_error>
#include <utility>

namespace hotplug::detail {

using qemuctl::errc;
using qemuctl::Json;

namespace {

using Action = ApiRequest::Action;

struct KnownAction {
  std::string_view name;
  Action action;
};
constexpr std::array known_actions{
    KnownAction{"enable_notifications", Action::enable_notifications},
    KnownAction{"usb_list", Action::usb_list},
    KnownAction{"usb_attach", Action::usb_attach},
    KnownAction{"usb_detach", Action::usb_detach},
};

[[noreturn]] void refuse(errc code, std::string detail) {
  qemuctl::Diagnostics diagnostics;
  diagnostics.operation = "do what was asked for";
  diagnostics.detail = std::move(detail);
  throw qemuctl::Error(code, std::move(diagnostics));
}

[[noreturn]] void wrong_field(std::string_view field, const Json& found, std::string_view wanted) {
  refuse(errc::invalid_argument,
         fmt::format("field {}: found {}, expected {}", field, found.dump().substr(0, 100), wanted));
}

std::optional<std::string> text(const Json& message, std::string_view field) {
  const Json* value = message.find(field);
  if (!value || value->is_null()) return std::nullopt;
  if (!value->is_string()) wrong_field(field, *value, "a text");
  return value->as_string();
}

/// A number, or a text with one: the documents of vhotplug write the one, its client the other.
std::optional<int> number(const Json& message, std::string_view field, int base, int most) {
  const Json* value = message.find(field);
  if (!value || value->is_null()) return std::nullopt;
  const std::string wanted =
      fmt::format("{} of 0 to {:#x}", base == 16 ? "hexadecimal digits, as a text," : "a number", most);
  int result = -1;
  if (value->is_string()) {
    std::string_view digits = value->as_string();
    if (base == 16 && (digits.starts_with("0x") || digits.starts_with("0X"))) digits.remove_prefix(2);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), result, base);
    if (error != std::errc() || end != digits.data() + digits.size()) wrong_field(field, *value, wanted);
  } else if (value->is_integer() && base == 10) {
    result = value->as_int() >= 0 && value->as_int() <= most ? static_cast<int>(value->as_int()) : -1;
  } else {
    wrong_field(field, *value, wanted);
  }
  if (result < 0 || result > most) wrong_field(field, *value, wanted);
  return result;
}

UsbSelector selector_in(const Json& message) {
  UsbSelector selector;
  selector.device_node = text(message, "device_node");
  selector.port_path = text(message, "port_path");
  selector.bus = number(message, "bus", 10, 255);
  selector.port = number(message, "port", 10, 255);
  selector.vendor_id = number(message, "vid", 16, 0xffff);
  selector.product_id = number(message, "pid", 16, 0xffff);
  const bool by_ids = selector.vendor_id && selector.product_id;
  const bool by_port = selector.bus && selector.port;
  if (!selector.device_node && !selector.port_path && !by_ids && !by_port)
    refuse(errc::invalid_argument, "no device is named: give device_node, bus and port, port_path, or vid and pid");
  return selector;
}

bool matches(const UsbDevice& device, const UsbSelector& selector) {
  const auto holds = [](const auto& wanted, const auto& found) { return !wanted || *wanted == found; };
  return holds(selector.device_node, device.device_node) && holds(selector.port_path, device.port_path()) &&
         holds(selector.bus, device.bus) && holds(selector.port, device.root_port()) &&
         holds(selector.vendor_id, device.vendor_id) && holds(selector.product_id, device.product_id);
}

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

std::optional<Json> request_id(const Json& message) {
  const Json* id = message.find("id");
  return id ? std::optional(*id) : std::nullopt;
}

ApiRequest parse_request(const Json& message) {
  if (!message.is_object()) refuse(errc::invalid_argument, "a request is a JSON object");
  const std::optional<std::string> name = text(message, "action");
  if (!name) refuse(errc::invalid_argument, "field action is missing");
  ApiRequest request;
  const KnownAction* known = nullptr;
  std::vector<std::string> all;
  for (const KnownAction& each : known_actions) {
    all.emplace_back(each.name);
    if (each.name == *name) known = &each;
  }
  if (!known) {
    const std::string near = qemuctl::detail::nearest_word(*name, all);
    refuse(errc::invalid_argument, fmt::format("unknown action {}{}", Json(name->substr(0, 100)).dump(),
                                               near.empty() ? "" : fmt::format("; did you mean {}?", near)));
  }
  request.action = known->action;
  if (request.action == Action::usb_attach || request.action == Action::usb_detach)
    request.device = selector_in(message);
  if (request.action == Action::usb_attach) request.vm = text(message, "vm").value_or("");
  if (request.action == Action::usb_list)
    if (const Json* value = message.find("disconnected")) {
      if (!value->is_bool()) wrong_field("disconnected", *value, "true or false");
      request.disconnected = value->as_bool();
    }
  return request;
}

const UsbState& find_device(const std::vector<UsbState>& devices, const UsbSelector& selector) {
  std::vector<const UsbState*> found;
  for (const UsbState& usb : devices)
    if (matches(usb.device, selector)) found.push_back(&usb);
  if (found.empty()) refuse(errc::not_found, "there is no such USB device");
  if (found.size() == 1) return *found.front();
  std::string candidates;
  for (const UsbState* usb : found)
    candidates += fmt::format("{}{} ({})", candidates.empty() ? "" : ", ", usb->device.device_node,
                              short_description(usb->device));
  refuse(errc::invalid_argument, "several USB devices match: " + candidates);
}

Json to_json(const UsbState& usb) {
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
  if (usb.target) json.set("target_vm", *usb.target);
  if (usb.foreign) json.set("foreign", true);
  if (usb.detached) json.set("disconnected", true);
  if (!usb.degraded.empty()) json.set("degraded", usb.degraded);
  return json;
}

Json to_json(const Notification& notification) {
  using Kind = Notification::Kind;
  Json json;
  if (notification.kind == Kind::vm_state) return json;
  json.set("event", to_string(notification.kind));
  json.set("usb_device", to_json(notification.usb));
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

} // namespace hotplug::detail
