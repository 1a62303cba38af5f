// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "usb_selector.hpp"

#include <hotplug/explanation.hpp>
#include <qemuctl/error.hpp>

#include <fmt/format.h>

#include <utility>

namespace hotplug::detail {

using qemuctl::errc;

namespace {

[[noreturn]] void refuse(errc code, std::string detail) {
  qemuctl::Diagnostics diagnostics;
  diagnostics.operation = "find the device";
  diagnostics.detail = std::move(detail);
  throw qemuctl::Error(code, std::move(diagnostics));
}

bool matches(const UsbDevice& device, const UsbSelector& selector) {
  const auto holds = [](const auto& wanted, const auto& found) { return !wanted || *wanted == found; };
  return holds(selector.device_node, device.device_node) && holds(selector.port_path, device.port_path()) &&
         holds(selector.bus, device.bus) && holds(selector.port, device.root_port()) &&
         holds(selector.vendor_id, device.vendor_id) && holds(selector.product_id, device.product_id);
}

} // namespace

const UsbState& find_device(const std::vector<UsbState>& devices, const UsbSelector& selector) {
  std::vector<const UsbState*> found;
  for (const UsbState& usb : devices)
    if (matches(usb.device, selector)) found.push_back(&usb);
  if (found.empty()) refuse(errc::not_found, "there is no such USB device");
  if (found.size() == 1) return *found.front();
  std::string candidates;
  for (const UsbState* usb : found)
    candidates += fmt::format("{}{} ({})", candidates.empty() ? "" : ", ", usb->device.device_node,
                              short_description(usb->device));
  refuse(errc::invalid_argument, "several USB devices match: " + candidates);
}

} // namespace hotplug::detail
