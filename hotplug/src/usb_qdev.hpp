// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "qdev.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace hotplug::detail {

/// An address on the host's USB: what a device is attached by.
struct UsbAddress {
  int bus = 0, number = 0;
  auto operator<=>(const UsbAddress&) const = default;
};

HostKey host_key(UsbAddress address);

/// "usbhost-3-78-5f3a01c2", see `new_qdev_id`. QEMU does not show the address of a device that it got as a descriptor.
std::string make_qdev_id(UsbAddress host, std::uint32_t unique);

/// The address in such an id; nullopt: it is none.
std::optional<UsbAddress> address_in(std::string_view qdev_id);

} // namespace hotplug::detail
