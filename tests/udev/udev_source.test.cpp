// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "run.hpp"
#include "testbed.hpp"

#include <hotplug/udev_source.hpp>

#include <asio/io_context.hpp>

#include <chrono>
#include <map>
#include <stdexcept>
#include <string>

using namespace hotplug;

namespace {

DeviceEvent next(asio::io_context& io, UdevSource& source) {
  return test::run(io, source.next());
}

int address_of(const DeviceEvent& event) {
  return std::get<UsbDevice>(std::get<DeviceArrived>(event).device).address;
}

/// Follows the source until it has told of everything that was done, and keeps what is there.
std::map<std::string, UsbDevice> follow(asio::io_context& io, UdevSource& source, std::size_t events) {
  std::map<std::string, UsbDevice> devices;
  for (std::size_t i = 0; i < events; ++i) {
    DeviceEvent event = next(io, source);
    if (auto* snapshot = std::get_if<DeviceSnapshot>(&event)) {
      devices.clear();
      for (Device& device : snapshot->devices) devices.emplace(sys_path_of(device), std::get<UsbDevice>(device));
    } else if (auto* arrived = std::get_if<DeviceArrived>(&event)) {
      devices.insert_or_assign(sys_path_of(arrived->device), std::get<UsbDevice>(arrived->device));
    } else {
      devices.erase(std::get<DeviceRemoved>(event).sys_path);
    }
  }
  return devices;
}

} // namespace

TEST_CASE("devices that are already present are reported first") {
  test::Testbed host;
  const std::string root = host.add_root_hub(3);
  const std::string hub = host.plug(root, 3, 1, 2, "Hub", "09");
  host.plug(hub, 3, 4, 78);
  asio::io_context io;
  UdevSource source(io.get_executor());
  const DeviceEvent first = next(io, source);
  const DeviceSnapshot& snapshot = std::get<DeviceSnapshot>(first);
  REQUIRE(snapshot.devices.size() == 1); // hubs are not passed on
  const auto& device = std::get<UsbDevice>(snapshot.devices[0]);
  CHECK(device.port_path() == "3-1.4");
  CHECK(device.address == 78);
  CHECK(device.device_node == "/dev/bus/usb/003/078");
  CHECK(device.vendor_id == 0x046d);
  CHECK(device.product_name == "Stick");
  CHECK(device.controller == "0000:00:14.0");
  CHECK(device.interfaces == std::vector<UsbClass>{{8, 6, 0x50}});
}

TEST_CASE("a device is reported when it comes and when it goes") {
  test::Testbed host;
  const std::string root = host.add_root_hub(3);
  asio::io_context io;
  UdevSource source(io.get_executor());
  CHECK(std::get<DeviceSnapshot>(next(io, source)).devices.empty());
  const std::string path = host.plug(root, 3, 1, 5);
  const DeviceEvent arrived = next(io, source);
  CHECK(sys_path_of(std::get<DeviceArrived>(arrived).device) == "/sys" + path);
  host.event("/sys" + path, "change");
  CHECK(address_of(next(io, source)) == 5);
  host.pull(path);
  CHECK(std::get<DeviceRemoved>(next(io, source)).sys_path == "/sys" + path);
}

TEST_CASE("an event between subscribing and enumerating is not lost") {
  test::Testbed host;
  const std::string root = host.add_root_hub(3);
  asio::io_context io;
  UdevSource source(io.get_executor()); // listens from here on
  const std::string stays = host.plug(root, 3, 1, 5), goes = host.plug(root, 3, 2, 6);
  host.pull(goes);
  const auto devices = follow(io, source, 4); // the snapshot and three events
  CHECK(devices.size() == 1);
  CHECK(devices.contains("/sys" + stays));
}

TEST_CASE("none of 1000 consecutive events is lost") {
  test::Testbed host;
  const std::string root = host.add_root_hub(3);
  asio::io_context io;
  UdevSource source(io.get_executor());
  CHECK(std::get<DeviceSnapshot>(next(io, source)).devices.empty());
  const std::string path = host.plug(root, 3, 1, 5);
  std::size_t told = address_of(next(io, source)) == 5 ? 1 : 0;
  // As many at once as umockdev's socket takes; a real overflow needs a kernel.
  constexpr int at_once = 9;
  for (int sent = 0; sent < 999; sent += at_once) {
    for (int i = 0; i < at_once; ++i) host.event("/sys" + path, "change");
    for (int i = 0; i < at_once; ++i) told += std::holds_alternative<DeviceArrived>(next(io, source));
  }
  CHECK(told == 1000);
}

TEST_CASE("a cancelled wait for events loses none") {
  test::Testbed host;
  const std::string root = host.add_root_hub(3);
  asio::io_context io;
  UdevSource source(io.get_executor());
  CHECK(std::get<DeviceSnapshot>(next(io, source)).devices.empty());
  CHECK_THROWS_AS(test::run(io, source.next(), std::chrono::milliseconds(1)), std::runtime_error);
  const std::string path = host.plug(root, 3, 1, 5);
  CHECK(sys_path_of(std::get<DeviceArrived>(next(io, source)).device) == "/sys" + path);
}
