// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "device_selector.hpp"

#include <hotplug/device.hpp>

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hotplug::detail {

/// The meaning of a device template whose variables have been replaced.
struct TemplateDevice {
  DeviceKind kind = DeviceKind::usb; ///< or PCI
  DeviceSelector selector;           ///< by vendor and product, by bus and address, or by PCI address
  std::string rom_file;              ///< for a PCI device; empty: its own
  std::string text;                  ///< the template with the values in it
};

/// Values of variables by name; names are case-insensitive.
using TemplateValues = std::vector<std::pair<std::string, std::string>>;

/// Reads a `<hostdev>` of libvirt's for a USB or PCI device. `$NAME` in the value of an attribute is replaced. Pure.
///
/// Throws `qemuctl::Error`: `invalid_argument` if it is not valid, or has a variable without a value, which the error
/// names.
TemplateDevice parse_xml_template(std::string_view xml, const TemplateValues& values);

/// The same in JSON: `{"type": "usb", "vendorId": "046d", "productId": "$PRODUCT_ID"}`, `{"type": "usb", "bus": 3,
/// "device": 5}`, `{"type": "pci", "address": "0000:01:00.0", "rom": "/a.rom"}`.
TemplateDevice parse_json_template(std::string_view json, const TemplateValues& values);

/// Whether this is a valid name of a template: letters, digits, "-", "_" and ".", not beginning with a ".".
bool is_template_name(std::string_view name);

/// Reads `NAME.xml`, or `NAME.json`, in that folder. Throws the same, and `not_found` with the path of a file that is
/// not there, or because `folder` is empty.
TemplateDevice load_template(const std::filesystem::path& folder, std::string_view name, const TemplateValues& values);

} // namespace hotplug::detail
