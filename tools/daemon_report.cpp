// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "daemon_report.hpp"

#include "api_message.hpp"
#include "cli_devices.hpp"
#include "last_input.hpp"

#include <hotplug/explanation.hpp>
#include <hotplug/rules.hpp>
#include <hotplug/udev_source.hpp>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <fmt/core.h>

#include <cstdio>
#include <exception>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

namespace tool {

namespace {

using hotplug::Config;
using hotplug::Device;

constexpr int good = 0, failed = 1;

/// "2 VMs", "1 VM"
std::string counted(std::size_t count, const char* what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

/// What there is on this host now.
std::vector<Device> devices_of_host() {
  asio::io_context io(1);
  hotplug::UdevSource source(io.get_executor());
  std::vector<Device> devices;
  const auto look = [](hotplug::UdevSource& from, std::vector<Device>& found) -> asio::awaitable<void> {
    hotplug::DeviceEvent event = co_await from.next();
    found = std::get<hotplug::DeviceSnapshot>(std::move(event)).devices;
  };
  asio::co_spawn(io, look(source, devices), [](std::exception_ptr error) {
    if (error) std::rethrow_exception(error);
  });
  io.run();
  return devices;
}

/// As the device API shows them.
qemuctl::Json as_json(const std::vector<Device>& devices) {
  qemuctl::Json list = qemuctl::Json::array();
  for (const Device& device : devices) {
    hotplug::DeviceState state;
    state.device = device;
    list.push_back(hotplug::detail::to_json(state, hotplug::Rules()));
  }
  return list;
}

/// Those that are meant: by sysfs path or the USB 3 side of a connector, too.
std::vector<const Device*> devices_called(const std::vector<Device>& devices, const std::string& name) {
  std::vector<const Device*> found;
  for (const Device& device : devices) {
    const auto* usb = std::get_if<hotplug::UsbDevice>(&device);
    if (name == sys_path_of(device) || "/sys" + name == sys_path_of(device) || (usb && name == usb->peer_path))
      found.push_back(&device);
  }
  if (!found.empty()) return found;
  const qemuctl::Json list = as_json(devices);
  for (const qemuctl::Json* each : matching_devices(list, name))
    found.push_back(&devices[static_cast<std::size_t>(each - list.as_array().data())]);
  return found;
}

/// Links are names, too: /sys/bus/usb/devices/3-1, /dev/input/by-path/...
std::string without_links(const std::string& name) {
  std::error_code ec;
  const std::filesystem::path path = name.starts_with('/') ? std::filesystem::canonical(name, ec) : "";
  return path.empty() ? name : path.string();
}

} // namespace

std::string summary(std::size_t vms, const Config& config) {
  std::string text = counted(vms, "VM") + ", " + counted(config.usb_rules.size(), "USB rule");
  if (!config.pci_rules.empty()) text += ", " + counted(config.pci_rules.size(), "PCI rule");
  if (!config.input_rules.empty()) text += ", " + counted(config.input_rules.size(), "input rule");
  return text;
}

int check(const std::filesystem::path& file, const Config& config) {
  for (const std::string& warning : hotplug::detail::last_input_warnings(
           devices_of_host(), hotplug::detail::inputs_of_host(), hotplug::Rules(config)))
    fmt::print(stderr, "qemuctl-hotplugd: warning: {}\n", warning);
  fmt::print("{}: good: {}\n", file.string(), summary(config.vms.size(), config));
  return good;
}

int explain(const std::string& wanted, const Config& config) {
  const std::vector<Device> devices = devices_of_host();
  const hotplug::Rules rules(config);
  const std::string name = without_links(wanted);
  int found = 0;
  for (const Device* device : devices_called(devices, name))
    fmt::print("{}{}", found++ > 0 ? "\n" : "", hotplug::explanation(rules, *device, devices));
  if (found > 0) return good;
  std::string there;
  for (const Device& device : devices) there += "\n  " + hotplug::short_description(device);
  fmt::print(stderr, "qemuctl-hotplugd: there is no device {}; there are{}\n", wanted,
             there.empty() ? " none" : ":" + there);
  return failed;
}

} // namespace tool
