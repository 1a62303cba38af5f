// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "rule_matching.hpp"

#include <hotplug/usb_rule.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

namespace hotplug {

namespace {

std::string printed(const InterfaceMatch& match) {
  const auto part = [](const std::optional<std::uint8_t>& value) {
    return value ? fmt::format("{:02x}", *value) : "*";
  };
  return part(match.code) + part(match.subclass) + part(match.protocol);
}

std::string printed(const std::vector<InterfaceMatch>& matches) {
  std::vector<std::string> texts;
  for (const InterfaceMatch& match : matches) texts.push_back(printed(match));
  return fmt::format("{}", fmt::join(texts, " "));
}

std::string printed(const std::vector<UsbClass>& interfaces) {
  if (interfaces.empty()) return "none";
  std::string text;
  for (const UsbClass& one : interfaces)
    text += fmt::format("{}{:02x}{:02x}{:02x}", text.empty() ? "" : " ", one.code, one.subclass, one.protocol);
  return text;
}

bool holds(const InterfaceMatch& match, const UsbClass& interface) {
  return (!match.code || *match.code == interface.code) && (!match.subclass || *match.subclass == interface.subclass) &&
         (!match.protocol || *match.protocol == interface.protocol);
}

bool has(const UsbDevice& device, const InterfaceMatch& match) {
  return std::ranges::any_of(device.interfaces, [&](const UsbClass& one) { return holds(match, one); });
}

/// Whether there is an interface of a class that says something about the device, which "vendor-specific" does not.
bool has_valid_interface(const UsbDevice& device) {
  constexpr std::uint8_t vendor_specific = 0xff;
  return std::ranges::any_of(device.interfaces,
                             [](const UsbClass& one) { return one.code != 0 && one.code != vendor_specific; });
}

void check_port_path(const UsbMatch& match, const UsbDevice& device, detail::Conditions& conditions) {
  if (!match.port_path || conditions.done()) return;
  // A connector has a path on each of its two buses, and users may know either.
  const std::string& wanted = *match.port_path;
  const std::string found = device.port_path();
  conditions.add("portPath", wanted,
                 device.peer_path.empty() ? found : fmt::format("{} ({} on the other side)", found, device.peer_path),
                 wanted == found || (!wanted.empty() && wanted == device.peer_path));
}

void check_interface_set(const InterfaceSet& set, const UsbDevice& device, detail::Conditions& conditions) {
  const auto found = [&](const InterfaceMatch& match) { return has(device, match); };
  const auto check = [&](const char* field, const std::vector<InterfaceMatch>& wanted, bool holds) {
    if (!wanted.empty()) conditions.add(field, printed(wanted), printed(device.interfaces), holds);
  };
  check("interfaces.anyOf", set.any_of, std::ranges::any_of(set.any_of, found));
  check("interfaces.allOf", set.all_of, std::ranges::all_of(set.all_of, found));
  check("interfaces.noneOf", set.none_of, std::ranges::none_of(set.none_of, found));
  const bool no_other = std::ranges::all_of(device.interfaces, [&](const UsbClass& one) {
    return std::ranges::any_of(set.equals, [&](const InterfaceMatch& match) { return holds(match, one); });
  });
  check("interfaces.equals", set.equals, std::ranges::all_of(set.equals, found) && no_other);
}

} // namespace

namespace detail {

void check(const UsbMatch& match, const UsbDevice& device, Conditions& conditions) {
  conditions.number("vendorId", match.vendor_id, device.vendor_id, "{:04x}");
  conditions.number("productId", match.product_id, device.product_id, "{:04x}");
  if (conditions.done()) return; // most rules end here, and the rest takes longer
  conditions.expression("vendorName", match.vendor_name, device.vendor_name);
  conditions.expression("productName", match.product_name, device.product_name);
  conditions.text("serial", match.serial, device.serial);
  conditions.number("bus", match.bus, device.bus, "{}");
  conditions.number("port", match.port, device.root_port(), "{}");
  check_port_path(match, device, conditions);
  conditions.text("controller", match.controller, device.controller);
  conditions.number("deviceClass", match.device_class, device.device_class.code, "{:02x}");
  conditions.number("deviceSubclass", match.device_subclass, device.device_class.subclass, "{:02x}");
  conditions.number("deviceProtocol", match.device_protocol, device.device_class.protocol, "{:02x}");
  if (conditions.done()) return; // what the rest would say is not printed for nothing
  if (match.interface != InterfaceMatch())
    conditions.add("interface", printed(match.interface), printed(device.interfaces), has(device, match.interface));
  check_interface_set(match.interfaces, device, conditions);
  if (!match.removable.empty())
    conditions.add("removable", fmt::format("{}", fmt::join(match.removable, " or ")), device.removable,
                   std::ranges::find(match.removable, device.removable) != match.removable.end());
  conditions.number("speed", match.speed, device.speed, "{}");
  if (match.driver_path && has_valid_interface(device))
    conditions.add("driverPath", *match.driver_path, "a device with an interface that has a class", false);
  else
    conditions.expression("driverPath", match.driver_path, device.driver_path);
}

void compile(const UsbMatch& match, const std::string& place, Expressions& expressions) {
  expressions.compile(match.vendor_name, place + ".vendorName");
  expressions.compile(match.product_name, place + ".productName");
  expressions.compile(match.driver_path, place + ".driverPath");
}

} // namespace detail

template class RuleSet<UsbRule, UsbDevice>;

} // namespace hotplug
