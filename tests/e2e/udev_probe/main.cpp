// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// udev_probe: what hotplug::UdevSource tells, a line of JSON for each event, until it is killed.
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

Json to_json(const UsbEvent& event) {
  if (const auto* arrived = std::get_if<UsbArrived>(&event))
    return Json::object({{"event", "arrived"}, {"device", to_json(arrived->device)}});
  if (const auto* removed = std::get_if<UsbRemoved>(&event))
    return Json::object({{"event", "removed"}, {"sysPath", removed->sys_path}});
  Json devices = Json::array();
  for (const UsbDevice& device : std::get<UsbSnapshot>(event).devices) devices.push_back(to_json(device));
  return Json::object({{"event", "snapshot"}, {"devices", std::move(devices)}});
}

asio::awaitable<void> follow(UdevSource& source) {
  for (;;) {
    const UsbEvent event = co_await source.next();
    std::cout << to_json(event).dump() << std::endl;
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
