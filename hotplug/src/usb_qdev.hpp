// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

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

/// A `usb-host` device of a VM, as QEMU shows it.
struct UsbQdev {
  std::string id; ///< its id, or its QOM path when it has none
  /// The host's device; unset when QEMU does not say (`hostdevice`, or one that is found by vendor and product).
  std::optional<UsbAddress> host;
  bool attached = false; ///< bound to the host's device
  bool ours = false;     ///< an engine of this project put it there
  bool operator==(const UsbQdev&) const = default;
};

/// "usbhost-3-78-5f3a01c2". QEMU does not show the address of a device that it got as a descriptor, so the id tells it
/// the next engine; and an id must not come twice before DEVICE_DELETED has, so the end is a new one each time.
std::string make_qdev_id(UsbAddress host, std::uint32_t unique);

/// The address in such an id; nullopt: it is none.
std::optional<UsbAddress> address_in(std::string_view qdev_id);

} // namespace hotplug::detail
