// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "device_selector.hpp"

#include <hotplug/explanation.hpp>
#include <qemuctl/error.hpp>

#include <fmt/format.h>

#include <utility>
#include <variant>

namespace hotplug::detail {

using qemuctl::errc;

namespace {

[[noreturn]] void refuse(errc code, std::string detail) {
  qemuctl::Diagnostics diagnostics;
  diagnostics.operation = "find the device";
  diagnostics.detail = std::move(detail);
  throw qemuctl::Error(code, std::move(diagnostics));
}

/// Takes away from `left` what names `device`; false: it is another one.
template<class Wanted, class Found>
bool take(std::optional<Wanted>& left, const Found& found) {
  const bool holds = !left || *left == found;
  left.reset();
  return holds;
}

bool take_all(const UsbDevice& device, DeviceSelector& left) {
  return take(left.device_node, device.device_node) && take(left.port_path, device.port_path()) &&
         take(left.bus, device.bus) && take(left.port, device.root_port()) && take(left.vendor_id, device.vendor_id) &&
         take(left.product_id, device.product_id);
}

bool take_all(const InputDevice& device, DeviceSelector& left) {
  return take(left.device_node, device.device_node) && take(left.name, device.name);
}

bool take_all(const PciDevice& device, DeviceSelector& left) {
  if (left.address && "0000:" + *left.address == device.address()) left.address = device.address();
  return take(left.address, device.address()) && take(left.vendor_id, device.vendor_id) &&
         take(left.device_id, device.device_id);
}

/// What is left names something that devices of this kind have not got.
bool matches(const Device& device, DeviceSelector selector) {
  return std::visit([&](const auto& each) { return take_all(each, selector); }, device) && selector == DeviceSelector();
}

} // namespace

const DeviceState& find_device(const std::vector<DeviceState>& devices, const DeviceSelector& selector) {
  std::vector<const DeviceState*> found;
  for (const DeviceState& each : devices)
    if (matches(each.device, selector)) found.push_back(&each);
  if (found.empty()) refuse(errc::not_found, "there is no such device");
  if (found.size() == 1) return *found.front();
  std::string candidates;
  for (const DeviceState* each : found) {
    const std::string node = device_node_of(each->device);
    candidates += fmt::format("{}{} ({})", candidates.empty() ? "" : ", ",
                              node.empty() ? sys_name_of(each->device) : node, short_description(each->device));
  }
  refuse(errc::invalid_argument, "several devices match: " + candidates);
}

} // namespace hotplug::detail
