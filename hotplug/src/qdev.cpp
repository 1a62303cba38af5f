// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "qdev.hpp"

#include "usb_qdev.hpp"
#include "vm_input.hpp"
#include "vm_pci.hpp"

#include <charconv>
#include <system_error>

namespace hotplug::detail {

namespace {

UsbAddress address_of(const UsbDevice& device) {
  return {device.bus, device.address};
}

struct Key {
  HostKey operator()(const UsbDevice& device) const { return host_key(address_of(device)); }
  HostKey operator()(const InputDevice& device) const { return input_key(device.input, device.event); }
  HostKey operator()(const PciDevice& device) const { return pci_key(device.address()); }
};

struct NewId {
  std::uint32_t unique;
  std::string operator()(const UsbDevice& device) const { return make_qdev_id(address_of(device), unique); }
  std::string operator()(const InputDevice& device) const {
    return make_input_qdev_id(device.input, device.event, unique);
  }
  std::string operator()(const PciDevice& device) const { return make_pci_qdev_id(device.address(), unique); }
};

} // namespace

HostKey host_key(const Device& device) {
  return std::visit(Key(), device);
}

std::string new_qdev_id(const Device& device, std::uint32_t unique) {
  return std::visit(NewId{unique}, device);
}

std::optional<int> take_number(std::string_view& text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end == text.data() + text.size() || *end != '-' || number < 0) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()) + 1);
  return number;
}

bool is_unique_end(std::string_view text) {
  return text.size() == 8 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

} // namespace hotplug::detail
