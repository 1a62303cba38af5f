// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "usb_qdev.hpp"

#include <fmt/format.h>

namespace hotplug::detail {

namespace {

constexpr std::string_view prefix = "usbhost-";

} // namespace

HostKey host_key(UsbAddress address) {
  return {DeviceKind::usb, fmt::format("{}:{}", address.bus, address.number)};
}

std::string make_qdev_id(UsbAddress host, std::uint32_t unique) {
  return fmt::format("{}{}-{}-{:08x}", prefix, host.bus, host.number, unique);
}

std::optional<UsbAddress> address_in(std::string_view qdev_id) {
  if (!qdev_id.starts_with(prefix)) return std::nullopt;
  qdev_id.remove_prefix(prefix.size());
  const std::optional<int> bus = take_number(qdev_id);
  const std::optional<int> number = bus ? take_number(qdev_id) : std::nullopt;
  if (!number || !is_unique_end(qdev_id) || *bus < 1 || *number < 1) return std::nullopt;
  return UsbAddress{*bus, *number};
}

} // namespace hotplug::detail
