// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "api_request.hpp"

#include "config/ids.hpp"
#include "nearest_word.hpp"
#include "text.hpp"

#include <qemuctl/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <system_error>
#include <utility>
#include <variant>

namespace hotplug::detail {

using qemuctl::errc;
using qemuctl::Json;

namespace {

using Action = ApiAction;
using Kind = hotplug::DeviceKind;
using Level = ApiLevel;

constexpr std::array actions{
    KnownAction{"auth", Action::authenticate, std::nullopt, Level::none},
    KnownAction{"version", Action::version, std::nullopt, Level::none},
    KnownAction{"enable_notifications", Action::enable_notifications, std::nullopt, Level::read},
    KnownAction{"usb_list", Action::list, Kind::usb, Level::read},
    KnownAction{"usb_attach", Action::attach, Kind::usb, Level::attach},
    KnownAction{"usb_detach", Action::detach, Kind::usb, Level::attach},
    KnownAction{"usb_suspend", Action::suspend, Kind::usb, Level::attach},
    KnownAction{"usb_resume", Action::resume, Kind::usb, Level::attach},
    KnownAction{"pci_list", Action::list, Kind::pci, Level::read},
    KnownAction{"pci_attach", Action::attach, Kind::pci, Level::attach},
    KnownAction{"pci_detach", Action::detach, Kind::pci, Level::attach},
    KnownAction{"pci_suspend", Action::suspend, Kind::pci, Level::attach},
    KnownAction{"pci_resume", Action::resume, Kind::pci, Level::attach},
    KnownAction{"evdev_list", Action::list, Kind::input, Level::read},
    KnownAction{"evdev_attach", Action::attach, Kind::input, Level::attach},
    KnownAction{"evdev_detach", Action::detach, Kind::input, Level::attach},
    KnownAction{"evdev_suspend", Action::suspend, Kind::input, Level::attach},
    KnownAction{"evdev_resume", Action::resume, Kind::input, Level::attach},
    KnownAction{"device_list", Action::device_list, std::nullopt, Level::read},
    KnownAction{"explain", Action::explain, std::nullopt, Level::read},
    KnownAction{"vm_list", Action::vm_list, std::nullopt, Level::read},
    KnownAction{"vm_status", Action::vm_status, std::nullopt, Level::read},
    KnownAction{"vm_start", Action::vm_start, std::nullopt, Level::admin},
    KnownAction{"vm_shutdown", Action::vm_shutdown, std::nullopt, Level::admin},
    KnownAction{"vm_stop", Action::vm_stop, std::nullopt, Level::admin},
    KnownAction{"vm_pause", Action::vm_pause, std::nullopt, Level::admin},
    KnownAction{"vm_resume", Action::vm_resume, std::nullopt, Level::admin},
    KnownAction{"vm_reset", Action::vm_reset, std::nullopt, Level::admin},
    KnownAction{"vm_screenshot", Action::vm_screenshot, std::nullopt, Level::admin},
    KnownAction{"vm_send_key", Action::vm_send_key, std::nullopt, Level::admin},
    KnownAction{"vmm_args", Action::vmm_args, std::nullopt, Level::attach},
    KnownAction{"reload", Action::reload, std::nullopt, Level::admin},
};

constexpr int longest_timeout = 600;
constexpr int last_bus = 999;
constexpr std::size_t most_members = 64;
constexpr std::size_t most_keys = 16; // what QEMU presses at once

[[noreturn]] void wrong_field(std::string_view field, const Json& found, std::string_view wanted) {
  refuse_request(errc::invalid_argument,
                 fmt::format("field {}: found {}, expected {}", field, found.dump().substr(0, 100), wanted));
}

[[noreturn]] void missing_field(std::string_view field) {
  refuse_request(errc::invalid_argument, fmt::format("field {} is missing", field));
}

/// A member; nullptr when it is not there. Clients of vhotplug write null for what they do not mean.
const Json* member(const Json& message, std::string_view field) {
  const Json* value = message.find(field);
  return value && !value->is_null() ? value : nullptr;
}

std::optional<std::string> text(const Json& message, std::string_view field) {
  const Json* value = member(message, field);
  if (!value) return std::nullopt;
  if (!value->is_string() && field == "token") // which is not to be repeated
    refuse_request(errc::invalid_argument, "field token: expected a text");
  if (!value->is_string()) wrong_field(field, *value, "a text");
  return value->as_string();
}

std::string required_text(const Json& message, std::string_view field) {
  std::optional<std::string> value = text(message, field);
  if (!value || value->empty()) missing_field(field);
  return std::move(*value);
}

/// A number, or a text with one: the documents of vhotplug write the one, its client the other.
std::optional<int> number(const Json& message, std::string_view field, int base, int most) {
  const Json* value = member(message, field);
  if (!value) return std::nullopt;
  const std::string wanted = base == 16 ? fmt::format("hexadecimal digits, as a text, of 0 to {:x}", most)
                                        : fmt::format("a number of 0 to {}", most);
  int result = -1;
  if (value->is_string()) {
    std::string_view digits = value->as_string();
    if (base == 16 && (digits.starts_with("0x") || digits.starts_with("0X"))) digits.remove_prefix(2);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), result, base);
    if (error != std::errc() || end != digits.data() + digits.size()) wrong_field(field, *value, wanted);
  } else if (value->kind() == Json::Kind::integer && base == 10) {
    result = value->as_int() >= 0 && value->as_int() <= most ? static_cast<int>(value->as_int()) : -1;
  } else {
    wrong_field(field, *value, wanted);
  }
  if (result < 0 || result > most) wrong_field(field, *value, wanted);
  return result;
}

/// `kind`: of which the device is to be; unset: of any.
DeviceSelector selector_in(const Json& message, std::optional<Kind> kind, bool needed = true) {
  DeviceSelector selector;
  std::string ways;
  bool named = false;
  const auto is = [&](Kind wanted) { return !kind || kind == wanted; };
  const auto way = [&](const char* text, bool there) {
    ways += (ways.empty() ? "" : "; ") + std::string(text);
    named = named || there;
  };
  if (is(Kind::usb) || is(Kind::input)) {
    selector.device_node = text(message, "device_node");
    way("device_node", selector.device_node.has_value());
  }
  if (is(Kind::usb) || is(Kind::pci)) selector.vendor_id = number(message, "vid", 16, 0xffff);
  if (is(Kind::usb)) {
    selector.bus = number(message, "bus", 10, 255);
    selector.port = number(message, "port", 10, 255);
    selector.port_path = text(message, "port_path");
    selector.product_id = number(message, "pid", 16, 0xffff);
    way("bus and port", selector.bus && selector.port);
    way("port_path", selector.port_path.has_value());
    way("vid and pid", selector.vendor_id && selector.product_id);
  }
  if (is(Kind::pci)) {
    selector.address = text(message, "address");
    selector.device_id = number(message, "did", 16, 0xffff);
    way("address", selector.address.has_value());
    way("vid and did", selector.vendor_id && selector.device_id);
  }
  if (is(Kind::input)) {
    selector.name = text(message, "name");
    way("name", selector.name.has_value());
  }
  if (!named && needed) refuse_request(errc::invalid_argument, "no device is given; give one of these: " + ways);
  return selector;
}

/// By what no other device has, which counts more than a tag. What is not one device's alone (`vid`) counts less.
bool names_one(const DeviceSelector& selector) {
  return selector.device_node || (selector.bus && selector.port) || selector.port_path || selector.address ||
         selector.name;
}

std::vector<std::string> keys_in(const Json& message) {
  const Json* value = member(message, "keys");
  if (!value) missing_field("keys");
  const std::string wanted = fmt::format("a list of 1 to {} names of keys", most_keys);
  if (!value->is_array() || value->size() == 0 || value->size() > most_keys) wrong_field("keys", *value, wanted);
  std::vector<std::string> keys;
  for (const Json& key : value->as_array()) {
    if (!key.is_string()) wrong_field("keys", *value, wanted);
    keys.push_back(key.as_string());
  }
  return keys;
}

} // namespace

void refuse_request(std::error_code code, std::string detail, std::string advice) {
  qemuctl::Diagnostics diagnostics;
  diagnostics.detail = std::move(detail);
  diagnostics.advice = std::move(advice);
  throw qemuctl::Error(code, std::move(diagnostics));
}

std::optional<Json> request_id(const Json& message) {
  const Json* id = message.find("id");
  return id ? std::optional(*id) : std::nullopt;
}

std::span<const KnownAction> known_actions() {
  return actions;
}

const KnownAction& action_of(const Json& message) {
  if (!message.is_object()) refuse_request(errc::invalid_argument, "a request is a JSON object");
  const std::optional<std::string> name = text(message, "action");
  if (!name) missing_field("action");
  std::vector<std::string> all;
  for (const KnownAction& each : actions) {
    if (each.name == *name) return each;
    all.emplace_back(each.name);
  }
  // The search for a similar name takes longer for a longer word.
  const std::string word = name->substr(0, 100);
  const std::string near = qemuctl::detail::nearest_word(word, all);
  refuse_request(errc::invalid_argument, fmt::format("unknown action {}{}", Json(word).dump(),
                                                     near.empty() ? "" : fmt::format("; did you mean {}?", near)));
}

std::string request_text(const Json& message) {
  constexpr std::size_t enough = 300;
  std::string text = "{";
  for (const auto& [key, value] : message.as_object()) {
    if (key == "token" || key == "id" || key == "action") continue;
    if (text.size() > 1) text += ',';
    Json(key).dump_to(text);
    text += ':';
    value.dump_to(text);
    if (text.size() > enough) return qemuctl::detail::printable(std::string_view(text).substr(0, enough)) + "...";
  }
  return qemuctl::detail::printable(text + '}');
}

ApiRequest device_request(ApiAction action, const Device& device, std::string vm) {
  ApiRequest request = vm_request(action, std::move(vm));
  const auto is_meant = [&](const KnownAction& each) { return each.action == action && each.kind == kind_of(device); };
  request.known = &*std::ranges::find_if(actions, is_meant);
  if (const auto* usb = std::get_if<UsbDevice>(&device)) request.device.port_path = usb->port_path();
  if (const auto* pci = std::get_if<PciDevice>(&device)) request.device.address = pci->address();
  if (std::holds_alternative<InputDevice>(device)) request.device.device_node = device_node_of(device);
  return request;
}

ApiRequest vm_request(ApiAction action, std::string vm) {
  ApiRequest request;
  request.known = &*std::ranges::find(actions, action, &KnownAction::action);
  request.vm = std::move(vm);
  return request;
}

ApiRequest parse_request(const Json& message) {
  ApiRequest request;
  request.known = &action_of(message);
  if (message.size() > most_members)
    refuse_request(errc::invalid_argument, fmt::format("a request has at most {} members", most_members));
  switch (request.known->action) {
  case Action::authenticate:
    request.token = required_text(message, "token");
    break;
  case Action::list:
    request.tag = text(message, "tag").value_or("");
    if (const Json* value = member(message, "disconnected")) {
      if (!value->is_bool()) wrong_field("disconnected", *value, "true or false");
      request.disconnected = value->as_bool();
    }
    break;
  case Action::attach:
  case Action::detach:
    request.vm = text(message, "vm").value_or("");
    request.tag = text(message, "tag").value_or("");
    request.device = selector_in(message, request.known->kind, request.tag.empty());
    if (names_one(request.device)) request.tag.clear();
    break;
  case Action::suspend:
  case Action::resume:
    request.vm = text(message, "vm").value_or("");
    break;
  case Action::explain:
    request.device = selector_in(message, std::nullopt);
    break;
  case Action::vm_stop:
    request.timeout = number(message, "timeout", 10, longest_timeout).value_or(request.timeout);
    request.vm = required_text(message, "vm");
    break;
  case Action::vmm_args:
    request.vm = required_text(message, "vm");
    request.start.bus_prefix = text(message, "qemu_bus_prefix").value_or("");
    if (!request.start.bus_prefix.empty() && !qemuctl::detail::is_qemu_id(request.start.bus_prefix))
      wrong_field("qemu_bus_prefix", request.start.bus_prefix, "the beginning of an id of QEMU's, such as \"rp\"");
    request.start.first_bus = number(message, "qemu_bus_start_index", 10, last_bus).value_or(0);
    break;
  case Action::vm_send_key:
    request.keys = keys_in(message);
    request.vm = required_text(message, "vm");
    break;
  case Action::vm_status:
  case Action::vm_start:
  case Action::vm_shutdown:
  case Action::vm_pause:
  case Action::vm_resume:
  case Action::vm_reset:
  case Action::vm_screenshot:
    request.vm = required_text(message, "vm");
    break;
  case Action::version:
  case Action::enable_notifications:
  case Action::device_list:
  case Action::vm_list:
  case Action::reload:
    break;
  }
  return request;
}

} // namespace hotplug::detail
