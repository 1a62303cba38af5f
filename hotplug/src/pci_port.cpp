// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "pci_port.hpp"

#include "qom.hpp"

#include <qemuctl/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

namespace hotplug::detail {

using qemuctl::Diagnostics;
using qemuctl::errc;
using qemuctl::Error;
using qemuctl::Instance;
using qemuctl::Json;

namespace {

constexpr const char* peripheral = "/machine/peripheral";
constexpr int deepest_bus = 32;

/// The names of the ports in natural order.
asio::awaitable<std::vector<std::string>> ports_of(Instance& vm) {
  const std::vector<QomChild> children = co_await qom_children(vm, peripheral);
  std::vector<std::string> ports;
  for (const QomChild& child : children)
    if (child.type == "pcie-root-port" || child.type == "xio3130-downstream") ports.push_back(child.name);
  std::ranges::sort(ports, [](const std::string& left, const std::string& right) {
    return left.size() != right.size() ? left.size() < right.size() : left < right;
  });
  co_return ports;
}

asio::awaitable<bool> is_free(Instance& vm, std::string port) {
  const std::string path = fmt::format("{}/{}", peripheral, port);
  const Json pluggable = co_await qom_property(vm, path, "hotplug");
  if (pluggable == Json(false)) co_return false;
  Json arguments;
  arguments.set("path", path + "/" + port); // its bus has its name
  const Json list = co_await vm.execute("qom-list", std::move(arguments));
  for (const Json& item : list.as_array())
    if (item.at("name").as_string().starts_with("child[")) co_return false;
  co_return true;
}

/// Whether QEMU refused the port rather than the device.
bool refuses_place(const Error& error) {
  const std::string& text = error.diagnostics().server_text;
  return error.code() == errc::command_failed && (text.find("not available for") != std::string::npos ||
                                                  text.find("does not support hotplugging") != std::string::npos);
}

[[noreturn]] void no_port(const Instance& vm, const Json& properties, const std::string& prefix) {
  Diagnostics diagnostics;
  diagnostics.operation = fmt::format("add {}", properties.at("driver").as_string());
  diagnostics.subject = "VM " + vm.name();
  diagnostics.detail = prefix.empty()
                           ? "it has no free PCI Express port"
                           : fmt::format("it has no free PCI Express port with an id that begins with {}", prefix);
  diagnostics.advice = "Start QEMU with more of them: -device pcie-root-port,id=NAME,chassis=N,slot=N.";
  throw Error(errc::not_supported, std::move(diagnostics));
}

/// False: the port is taken.
asio::awaitable<bool> add(Instance& vm, Json properties, std::chrono::milliseconds timeout) {
  qemuctl::ExecuteOptions options;
  options.timeout = timeout;
  try {
    co_await vm.execute("device_add", std::move(properties), std::move(options));
  } catch (const Error& error) {
    if (!refuses_place(error)) throw;
    co_return false;
  }
  co_return true;
}

/// Regions without an address have the highest one (`PCI_BAR_UNMAPPED`), which is signed in QMP.
bool has_addresses(const Json& device) {
  const Json* regions = device.find("regions");
  if (!regions || !regions->is_array() || regions->as_array().empty()) return true; // it needs none
  return std::ranges::any_of(regions->as_array(), [](const Json& region) {
    const Json* address = region.find("address");
    return address && *address != Json(-1);
  });
}

/// QEMU does not list devices behind a port that the firmware has not configured yet.
bool is_noticed_on(const Json& bus, std::string_view id, int depth) {
  const Json* devices = bus.find("devices");
  if (depth == 0 || !devices || !devices->is_array()) return false;
  return std::ranges::any_of(devices->as_array(), [&](const Json& device) {
    const Json* name = device.find("qdev_id");
    if (name && name->is_string() && name->as_string() == id) return has_addresses(device);
    const Json* bridge = device.find("pci_bridge");
    return bridge && is_noticed_on(*bridge, id, depth - 1);
  });
}

} // namespace

bool is_noticed(const Json& buses, std::string_view id) {
  if (!buses.is_array()) return false;
  return std::ranges::any_of(buses.as_array(), [&](const Json& bus) { return is_noticed_on(bus, id, deepest_bus); });
}

asio::awaitable<bool> is_noticed(Instance& vm, std::string id) {
  const Json buses = co_await vm.execute("query-pci");
  co_return is_noticed(buses, id);
}

asio::awaitable<void> add_to_pci_port(Instance& vm, Json properties, std::string prefix,
                                      std::chrono::milliseconds timeout) {
  const std::vector<std::string> ports = co_await ports_of(vm);
  for (const std::string& port : ports) {
    if (!port.starts_with(prefix)) continue;
    const bool free = co_await is_free(vm, port);
    if (!free) continue;
    properties.set("bus", port);
    properties.set("addr", "0x0"); // otherwise a port that is taken would seem to take a second one
    const bool added = co_await add(vm, properties, timeout);
    if (added) co_return;
  }
  if (ports.empty() && prefix.empty()) {
    const bool added = co_await add(vm, properties, timeout);
    if (added) co_return;
  }
  no_port(vm, properties, prefix);
}

} // namespace hotplug::detail
