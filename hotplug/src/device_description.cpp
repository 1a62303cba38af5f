// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "problems.hpp"

#include <hotplug/explanation.hpp>

#include <fmt/format.h>

#include <string>
#include <variant>

namespace hotplug {

using qemuctl::detail::quoted_if_needed;

namespace {

/// The names that are there, each behind a space.
std::string names(const std::string& vendor, const std::string& product) {
  std::string text;
  for (const std::string* name : {&vendor, &product})
    if (!name->empty()) text += fmt::format(" {}", quoted_if_needed(*name));
  return text;
}

struct Description {
  std::string operator()(const UsbDevice& device) const {
    return fmt::format("{} {:04x}:{:04x}{}", device.port_path(), device.vendor_id, device.product_id,
                       names(device.vendor_name, device.product_name));
  }
  std::string operator()(const InputDevice& device) const {
    return fmt::format("{} {}{}", device.sys_name, quoted_if_needed(device.name),
                       device.path_tag.empty() ? "" : fmt::format(" ({})", quoted_if_needed(device.path_tag)));
  }
  std::string operator()(const PciDevice& device) const {
    return fmt::format("{} {:04x}:{:04x}{}", device.address(), device.vendor_id, device.device_id,
                       names(device.vendor_name, device.device_name));
  }
};

} // namespace

std::string short_description(const Device& device) {
  return std::visit(Description(), device);
}

} // namespace hotplug
