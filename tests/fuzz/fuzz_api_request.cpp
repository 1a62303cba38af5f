// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// What a client of the device API sends is cut into the same lines whatever the pieces it comes in, and every line is a
// request or refused with a text that says why, and written down in one short line of the log. The device that a
// request names is found among those of a host, or it is said that there is none or more than one.
#include "api_request.hpp"
#include "check.hpp"
#include "device_selector.hpp"
#include "line_buffer.hpp"
#include "text.hpp"

#include <hotplug/state.hpp>
#include <qemuctl/error.hpp>
#include <qemuctl/json.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

using namespace hotplug;
using namespace hotplug::detail;
using fuzz::check;
using qemuctl::Json;

namespace {

constexpr std::size_t max_line = 4'000, max_nesting = 16;

std::vector<std::optional<std::string>> lines_of(std::string_view bytes, std::size_t piece) {
  LineBuffer buffer(max_line);
  std::vector<std::optional<std::string>> lines;
  while (!bytes.empty()) {
    buffer.append(bytes.substr(0, piece));
    bytes.remove_prefix(std::min(piece, bytes.size()));
    while (const auto line = buffer.next())
      lines.push_back(line->too_long ? std::nullopt : std::optional<std::string>(line->text));
  }
  return lines;
}

UsbDevice stick(int bus, std::vector<int> ports, int address) {
  UsbDevice device;
  device.bus = bus;
  device.ports = std::move(ports);
  device.address = address;
  device.sys_name = device.port_path();
  device.sys_path = "/sys/devices/" + device.sys_name;
  device.device_node = "/dev/bus/usb/00" + std::to_string(bus) + "/00" + std::to_string(address);
  device.vendor_id = 0x1111;
  device.product_id = 0x2222;
  device.product_name = "St\nick";
  return device;
}

PciDevice card(const std::string& address, std::uint16_t device_id) {
  PciDevice device;
  device.sys_name = address;
  device.sys_path = "/sys/devices/" + address;
  device.vendor_id = 0x8086;
  device.device_id = device_id;
  return device;
}

InputDevice keyboard(const std::string& sys_name) {
  InputDevice device;
  device.sys_path = "/sys/devices/" + sys_name;
  device.sys_name = sys_name;
  device.device_node = "/dev/input/" + sys_name;
  device.name = "AT keyboard";
  return device;
}

/// Some that are alike, and some that share a number with others.
const std::vector<DeviceState>& devices_of_host() {
  static const std::vector<DeviceState> all = [] {
    std::vector<DeviceState> devices;
    const auto add = [&](Device device) { devices.emplace_back().device = std::move(device); };
    add(stick(1, {2}, 4));
    add(stick(1, {2, 3}, 5));
    add(stick(3, {2}, 4));
    add(card("0000:01:00.0", 0x2222));
    add(card("0001:01:00.0", 0x2222));
    add(card("0002:01:00.0", 0x1111));
    add(keyboard("event2"));
    add(keyboard("event3"));
    return devices;
  }();
  return all;
}

/// Whether all that the selector has is so of the device.
bool is_named(const Device& device, const DeviceSelector& by) {
  const auto* usb = std::get_if<UsbDevice>(&device);
  const auto* pci = std::get_if<PciDevice>(&device);
  const auto* input = std::get_if<InputDevice>(&device);
  return (!by.device_node || (!pci && *by.device_node == device_node_of(device))) &&
         (!by.port_path || (usb && *by.port_path == usb->port_path())) && (!by.bus || (usb && *by.bus == usb->bus)) &&
         (!by.port || (usb && *by.port == usb->root_port())) &&
         (!by.vendor_id || (usb && *by.vendor_id == usb->vendor_id) || (pci && *by.vendor_id == pci->vendor_id)) &&
         (!by.product_id || (usb && *by.product_id == usb->product_id)) &&
         (!by.address || (pci && (*by.address == pci->address() || "0000:" + *by.address == pci->address()))) &&
         (!by.device_id || (pci && *by.device_id == pci->device_id)) &&
         (!by.name || (input && *by.name == input->name));
}

void look_up(const ApiRequest& request) {
  std::vector<DeviceState> devices = devices_of_host();
  if (request.known->kind)
    std::erase_if(devices, [&](const DeviceState& each) { return kind_of(each.device) != request.known->kind; });
  const auto named = std::count_if(devices.begin(), devices.end(),
                                   [&](const DeviceState& each) { return is_named(each.device, request.device); });
  try {
    check(is_named(find_device(devices, request.device).device, request.device), "the device is the one that is named");
    check(named == 1, "a device is found when it alone is named");
  } catch (const qemuctl::Error& error) {
    check(named != 1, "the only device that is named is found");
    check((named == 0) == (error.code() == qemuctl::errc::not_found), "none and several are told apart");
    check(qemuctl::detail::printable(error.what()) == error.what(), "what devices say of themselves is escaped");
  }
}

void read_request(const std::string& line) {
  try {
    qemuctl::JsonParseOptions how;
    how.max_depth = max_nesting;
    const Json message = qemuctl::parse_json(line, how);
    if (const auto id = request_id(message)) fuzz::check_round_trip(*id);
    if (message.is_object()) {
      const std::string text = request_text(message);
      check(text.size() < 310 && text.starts_with('{'), "what is written down is short");
      check(std::none_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }),
            "it is one line");
      Json other = message;
      other.set("token", "another one");
      check(request_text(other) == text, "it shows no token");
    }
    const ApiRequest request = parse_request(message);
    check(request.known->name == message.at("action").as_string(), "a request is what it says");
    check(request.keys.size() <= 16 && request.timeout <= 600, "limits hold");
    if (request.device != DeviceSelector()) look_up(request);
  } catch (const qemuctl::Error& error) {
    check(!error.diagnostics().detail.empty(), "a refusal says why");
    fuzz::check_round_trip(Json(error.what()));
  }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto lines = lines_of(bytes, size + 1);
  check(lines == lines_of(bytes, 1) && lines == lines_of(bytes, 7), "the pieces make no difference");
  for (const auto& line : lines) {
    check(!line || (line->size() <= max_line && line->find('\n') == line->npos), "a line is a line");
    if (line) read_request(*line);
  }
  return 0;
}
