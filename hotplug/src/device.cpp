// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include <hotplug/device.hpp>

namespace hotplug {

std::string_view to_string(DeviceKind kind) noexcept {
  switch (kind) {
  case DeviceKind::usb:
    return "usb";
  case DeviceKind::input:
    return "evdev";
  case DeviceKind::pci:
    return "pci";
  }
  return "";
}

DeviceKind kind_of(const Device& device) noexcept {
  return static_cast<DeviceKind>(device.index());
}

const std::string& sys_path_of(const Device& device) noexcept {
  return std::visit([](const auto& each) -> const std::string& { return each.sys_path; }, device);
}

const std::string& sys_name_of(const Device& device) noexcept {
  return std::visit([](const auto& each) -> const std::string& { return each.sys_name; }, device);
}

std::string device_node_of(const Device& device) {
  if (const auto* usb = std::get_if<UsbDevice>(&device)) return usb->device_node;
  if (const auto* input = std::get_if<InputDevice>(&device)) return input->device_node;
  return {};
}

Identity identity_of(const Device& device) {
  return std::visit([](const auto& each) { return each.identity; }, device);
}

} // namespace hotplug
