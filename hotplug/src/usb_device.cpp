// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include <hotplug/pci_device.hpp>
#include <hotplug/usb_device.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <set>

namespace hotplug {

namespace {

constexpr std::uint8_t hub_class = 9;
constexpr double first_usb3_speed = 5000;

template<typename Number>
std::optional<Number> parse(std::string_view text, int base) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

/// "480", "1.5"
double parse_speed(std::string_view text) {
  double speed = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), speed);
  return error == std::errc() && end == text.data() + text.size() ? speed : 0;
}

std::string_view attribute(const UsbRecord& record, std::string_view name) {
  const auto found = record.attributes.find(name);
  return found == record.attributes.end() ? std::string_view() : std::string_view(found->second);
}

std::string_view property(const UsbRecord& record, std::string_view name) {
  const auto found = record.properties.find(name);
  return found == record.properties.end() ? std::string_view() : std::string_view(found->second);
}

template<typename Number>
Number number_of(const UsbRecord& record, std::string_view name, int base) {
  return parse<Number>(attribute(record, name), base).value_or(Number());
}

/// Device strings may contain anything but NUL; leading and trailing blanks are dropped.
std::string trimmed(std::string_view text) {
  constexpr std::string_view blanks = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(blanks);
  if (begin == std::string_view::npos) return {};
  return std::string(text.substr(begin, text.find_last_not_of(blanks) - begin + 1));
}

std::string first_of(std::initializer_list<std::string_view> texts) {
  for (const std::string_view text : texts)
    if (std::string result = trimmed(text); !result.empty()) return result;
  return {};
}

/// The ports of "3-1.4" or of "usb3"; nullopt: not the name of a USB device (interfaces have a colon).
std::optional<std::vector<int>> ports_of(std::string_view sys_name) {
  if (sys_name.starts_with("usb")) return std::vector<int>();
  const std::size_t dash = sys_name.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  std::vector<int> ports;
  for (std::string_view rest = sys_name.substr(dash + 1);;) {
    const std::size_t dot = rest.find('.');
    const std::optional<int> port = parse<int>(rest.substr(0, dot), 10);
    if (!port || *port < 1) return std::nullopt;
    ports.push_back(*port);
    if (dot == std::string_view::npos) return ports;
    rest.remove_prefix(dot + 1);
  }
}

/// The name of a device in the port "usb4-port1" or "4-1-port2": "4-1", "4-1.2"; empty: not the name of a port.
std::string name_in_port(std::string_view port_name) {
  const std::size_t at = port_name.rfind("-port");
  if (at == std::string_view::npos) return {};
  const std::string_view hub = port_name.substr(0, at), port = port_name.substr(at + 5);
  return hub.starts_with("usb") ? fmt::format("{}-{}", hub.substr(3), port) : fmt::format("{}.{}", hub, port);
}

/// The component before "/usbN" in the path: the host controller's name.
std::string controller_of(std::string_view sys_path) {
  const std::size_t at = sys_path.find("/usb");
  if (at == std::string_view::npos) return {};
  const std::string_view before = sys_path.substr(0, at);
  return std::string(before.substr(before.rfind('/') + 1));
}

/// FNV-1a suffices: descriptors are compared with those seen at the same connector, not against an attacker.
std::string fingerprint_of(std::string_view descriptors) {
  if (descriptors.empty()) return {};
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char byte : descriptors) hash = (hash ^ static_cast<std::uint8_t>(byte)) * 0x100000001b3;
  return fmt::format("{:016x}", hash);
}

Identity identity_of(const UsbDevice& device, std::string_view descriptors) {
  std::vector<int> ports = device.ports;
  // Both sides of a connector are named by the ports of its USB 2 side, which every connector has.
  if (device.speed >= first_usb3_speed)
    if (auto peers = ports_of(device.peer_path); peers && !peers->empty()) ports = std::move(*peers);
  Identity identity;
  identity.connector = fmt::format("{}/{}", controller_of(device.sys_path), fmt::join(ports, "."));
  identity.serial = device.serial;
  identity.fingerprint = fingerprint_of(descriptors);
  return identity;
}

} // namespace

std::string UsbDevice::port_path() const {
  return fmt::format("{}-{}", bus, fmt::join(ports, "."));
}

const std::vector<std::string>& usb_attributes() {
  static const std::vector<std::string> names{
      "authorized", "bDeviceClass", "bDeviceProtocol", "bDeviceSubClass", "busnum", "devnum", "idProduct",
      "idVendor",   "manufacturer", "product",         "removable",       "serial", "speed"};
  return names;
}

std::vector<UsbClass> interfaces_of(std::string_view descriptors) {
  constexpr std::uint8_t interface_descriptor = 4; // USB 3.2 specification, table 9-6
  constexpr std::size_t interface_size = 9;
  std::set<UsbClass> found;
  const auto byte = [&](std::size_t at) { return static_cast<std::uint8_t>(descriptors[at]); };
  for (std::size_t at = 0; at + 2 <= descriptors.size();) {
    const std::size_t size = byte(at);
    if (size < 2 || at + size > descriptors.size()) break;
    if (byte(at + 1) == interface_descriptor && size >= interface_size)
      found.insert({byte(at + 5), byte(at + 6), byte(at + 7)});
    at += size;
  }
  return {found.begin(), found.end()};
}

std::optional<UsbDevice> make_usb_device(const UsbRecord& record) {
  UsbDevice device;
  device.sys_path = record.sys_path;
  device.sys_name = record.sys_path.substr(record.sys_path.rfind('/') + 1);
  const std::optional<std::vector<int>> ports = ports_of(device.sys_name);
  if (!ports || ports->empty()) return std::nullopt; // an interface, or a root hub
  device.ports = *ports;
  device.peer_path = name_in_port(record.peer_port);
  device.bus = number_of<int>(record, "busnum", 10);
  device.address = number_of<int>(record, "devnum", 10);
  if (device.bus < 1 || device.address < 1) return std::nullopt;
  device.device_node = record.device_node;
  if (device.device_node.empty())
    device.device_node = fmt::format("/dev/bus/usb/{:03}/{:03}", device.bus, device.address);

  device.device_class = {number_of<std::uint8_t>(record, "bDeviceClass", 16),
                         number_of<std::uint8_t>(record, "bDeviceSubClass", 16),
                         number_of<std::uint8_t>(record, "bDeviceProtocol", 16)};
  if (device.device_class.code == hub_class) return std::nullopt;
  device.vendor_id = number_of<std::uint16_t>(record, "idVendor", 16);
  device.product_id = number_of<std::uint16_t>(record, "idProduct", 16);
  device.vendor_name = first_of({attribute(record, "manufacturer"), property(record, "ID_VENDOR_FROM_DATABASE")});
  device.product_name = first_of({attribute(record, "product"), property(record, "ID_MODEL_FROM_DATABASE")});
  device.serial = first_of({attribute(record, "serial"), property(record, "ID_SERIAL_SHORT")});
  device.speed = parse_speed(attribute(record, "speed"));
  if (const std::string_view removable = attribute(record, "removable");
      removable == "fixed" || removable == "removable")
    device.removable = removable;
  if (const std::string controller = controller_of(record.sys_path); is_pci_address(controller))
    device.controller = controller;
  device.authorized = attribute(record, "authorized") != "0";
  device.interfaces = interfaces_of(record.descriptors);
  device.identity = identity_of(device, record.descriptors);
  return device;
}

std::optional<UsbHub> make_usb_hub(const UsbRecord& record) {
  UsbHub hub;
  hub.sys_path = record.sys_path;
  hub.sys_name = record.sys_path.substr(record.sys_path.rfind('/') + 1);
  if (!ports_of(hub.sys_name) || number_of<std::uint8_t>(record, "bDeviceClass", 16) != hub_class) return std::nullopt;
  hub.authorized = attribute(record, "authorized") != "0";
  return hub;
}

} // namespace hotplug
