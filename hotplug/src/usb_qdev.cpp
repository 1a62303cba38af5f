// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "usb_qdev.hpp"

#include <fmt/format.h>

#include <charconv>
#include <system_error>

namespace hotplug::detail {

namespace {

constexpr std::string_view prefix = "usbhost-";

/// A number at the beginning of `text` and the dash behind it, taken off.
std::optional<int> take_number(std::string_view& text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end == text.data() + text.size() || *end != '-' || number < 1) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()) + 1);
  return number;
}

} // namespace

std::string make_qdev_id(UsbAddress host, std::uint32_t unique) {
  return fmt::format("{}{}-{}-{:08x}", prefix, host.bus, host.number, unique);
}

std::optional<UsbAddress> address_in(std::string_view qdev_id) {
  if (!qdev_id.starts_with(prefix)) return std::nullopt;
  qdev_id.remove_prefix(prefix.size());
  const std::optional<int> bus = take_number(qdev_id);
  const std::optional<int> number = bus ? take_number(qdev_id) : std::nullopt;
  if (!number || qdev_id.size() != 8 || qdev_id.find_first_not_of("0123456789abcdef") != std::string_view::npos)
    return std::nullopt;
  return UsbAddress{*bus, *number};
}

} // namespace hotplug::detail
