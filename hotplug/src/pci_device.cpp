// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include <hotplug/pci_device.hpp>

#include <fmt/format.h>

#include <charconv>
#include <cstddef>
#include <string_view>
#include <system_error>

namespace hotplug {

namespace {

/// Parses "0x8086"; 0 if it is not such a number.
std::uint32_t hexadecimal(const PciRecord& record, std::string_view attribute) {
  const auto found = record.attributes.find(attribute);
  if (found == record.attributes.end()) return 0;
  std::string_view digits = found->second;
  if (digits.starts_with("0x")) digits.remove_prefix(2);
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number, 16);
  return error == std::errc() && end == digits.data() + digits.size() ? number : 0;
}

std::string property(const PciRecord& record, std::string_view name) {
  const auto found = record.properties.find(name);
  return found == record.properties.end() ? std::string() : found->second;
}

std::optional<int> number(std::string_view digits) {
  int value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

} // namespace

const std::vector<std::string>& pci_attributes() {
  static const std::vector<std::string> names{"class", "device", "subsystem_device", "subsystem_vendor", "vendor"};
  return names;
}

bool is_pci_address(const std::string& text) {
  constexpr std::string_view shape = "xxxx:xx:xx.x";
  if (text.size() < shape.size()) return false; // domains of some machines have more digits
  const std::size_t more = text.size() - shape.size();
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char wanted = i < more ? 'x' : shape[i - more];
    const bool digit = (text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f');
    if (wanted == 'x' ? !digit : text[i] != wanted) return false;
  }
  return true;
}

std::optional<PciDevice> make_pci_device(const PciRecord& record) {
  PciDevice device;
  device.sys_path = record.sys_path;
  device.sys_name = record.sys_path.substr(record.sys_path.rfind('/') + 1);
  device.vendor_id = static_cast<std::uint16_t>(hexadecimal(record, "vendor"));
  device.device_id = static_cast<std::uint16_t>(hexadecimal(record, "device"));
  if (!is_pci_address(device.sys_name) || device.vendor_id == 0) return std::nullopt;
  const std::uint32_t code = hexadecimal(record, "class");
  device.device_class = {static_cast<std::uint8_t>(code >> 16), static_cast<std::uint8_t>(code >> 8),
                         static_cast<std::uint8_t>(code)};
  if (device.device_class.code == pci_bridge_class) return std::nullopt;
  device.subsystem_vendor_id = static_cast<std::uint16_t>(hexadecimal(record, "subsystem_vendor"));
  device.subsystem_id = static_cast<std::uint16_t>(hexadecimal(record, "subsystem_device"));
  device.vendor_name = property(record, "ID_VENDOR_FROM_DATABASE");
  device.device_name = property(record, "ID_MODEL_FROM_DATABASE");
  device.driver = record.driver;
  device.iommu_group = number(record.iommu_group);
  device.identity.connector = device.sys_name;
  device.identity.fingerprint = fmt::format("{:04x}:{:04x}", device.vendor_id, device.device_id);
  return device;
}

} // namespace hotplug
