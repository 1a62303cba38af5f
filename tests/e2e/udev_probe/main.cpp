// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// udev_probe: what hotplug::UdevSource tells of USB devices, a line of JSON for each event, until it is killed.
#include <hotplug/udev_source.hpp>
#include <qemuctl/json.hpp>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <fmt/format.h>

#include <exception>
#include <iostream>

using namespace hotplug;
using qemuctl::Json;

namespace {

std::string text(const UsbClass& value) {
  return fmt::format("{:02x}{:02x}{:02x}", value.code, value.subclass, value.protocol);
}

Json to_json(const UsbDevice& device) {
  Json interfaces = Json::array();
  for (const UsbClass& value : device.interfaces) interfaces.push_back(text(value));
  return Json::object({{"sysPath", device.sys_path},
                       {"sysName", device.sys_name},
                       {"deviceNode", device.device_node},
                       {"bus", device.bus},
                       {"address", device.address},
                       {"portPath", device.port_path()},
                       {"peerPath", device.peer_path},
                       {"vendorId", fmt::format("{:04x}", device.vendor_id)},
                       {"productId", fmt::format("{:04x}", device.product_id)},
                       {"class", text(device.device_class)},
                       {"vendorName", device.vendor_name},
                       {"productName", device.product_name},
                       {"serial", device.serial},
                       {"speed", device.speed},
                       {"removable", device.removable},
                       {"controller", device.controller},
                       {"authorized", device.authorized},
                       {"interfaces", std::move(interfaces)},
                       {"connector", device.identity.connector},
                       {"identitySerial", device.identity.serial},
                       {"fingerprint", device.identity.fingerprint}});
}

/// Null: it is of another device.
Json to_json(const DeviceEvent& event) {
  if (const auto* arrived = std::get_if<DeviceArrived>(&event)) {
    const auto* usb = std::get_if<UsbDevice>(&arrived->device);
    return usb ? Json::object({{"event", "arrived"}, {"device", to_json(*usb)}}) : Json();
  }
  if (const auto* removed = std::get_if<DeviceRemoved>(&event)) {
    const bool usb = removed->sys_path.find("/usb") != std::string::npos;
    return usb ? Json::object({{"event", "removed"}, {"sysPath", removed->sys_path}}) : Json();
  }
  if (std::holds_alternative<HubArrived>(event)) return {};
  Json devices = Json::array();
  for (const Device& device : std::get<DeviceSnapshot>(event).devices)
    if (const auto* usb = std::get_if<UsbDevice>(&device)) devices.push_back(to_json(*usb));
  return Json::object({{"event", "snapshot"}, {"devices", std::move(devices)}});
}

asio::awaitable<void> follow(UdevSource& source) {
  for (;;) {
    const DeviceEvent event = co_await source.next();
    const Json line = to_json(event);
    if (!line.is_null()) std::cout << line.dump() << std::endl;
  }
}

} // namespace

int main() {
  asio::io_context io(1);
  UdevSource source(io.get_executor());
  asio::co_spawn(io, follow(source), [](std::exception_ptr failure) {
    if (failure) std::rethrow_exception(failure);
  });
  io.run();
}
