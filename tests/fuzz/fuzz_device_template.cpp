// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// A template of a device, in XML or JSON, means one device or is refused with a text that says why; and what it means
// does not change when the text that is shown for it is read again.
#include "check.hpp"
#include "device_template.hpp"

#include <hotplug/pci_device.hpp>
#include <qemuctl/error.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

using namespace hotplug::detail;
using fuzz::check;

namespace {

std::optional<TemplateDevice> read(std::string_view text, bool json, const TemplateValues& values) {
  try {
    return json ? parse_json_template(text, values) : parse_xml_template(text, values);
  } catch (const qemuctl::Error& error) {
    check(!error.diagnostics().detail.empty(), "a refusal says why");
    return std::nullopt;
  }
}

} // namespace

/// The first line is the value of $A, what follows the template.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::size_t end = bytes.find('\n');
  if (end == bytes.npos) return 0;
  TemplateValues values;
  values.emplace_back("a", bytes.substr(0, end));
  const std::string_view text = bytes.substr(end + 1);
  for (const bool json : {false, true}) {
    const std::optional<TemplateDevice> device = read(text, json, values);
    if (!device) continue;
    const DeviceSelector& selector = device->selector;
    if (device->kind == hotplug::DeviceKind::pci)
      check(selector.address && hotplug::is_pci_address(*selector.address), "a PCI device has an address");
    else
      check(selector.vendor_id.has_value() == selector.product_id.has_value() &&
                (selector.vendor_id || selector.device_node),
            "a USB device has a name");
    // A value may look like a variable, but is none.
    if (device->text.find('$') != std::string::npos || device->text.find('\0') != std::string::npos) continue;
    const std::optional<TemplateDevice> again = read(device->text, json, TemplateValues());
    check(again && again->selector == selector && again->kind == device->kind && again->rom_file == device->rom_file,
          "what is shown is what is meant");
  }
  return 0;
}
