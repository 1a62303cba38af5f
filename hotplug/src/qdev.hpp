// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hotplug/device.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace hotplug::detail {

/// What QEMU knows a device of the host by. When that changes it is another device to QEMU, wherever it is plugged in.
struct HostKey {
  DeviceKind kind = DeviceKind::usb;
  std::string address; ///< "3:78"; input/event of an input device: "7/3"; "0000:01:00.0"
  auto operator<=>(const HostKey&) const = default;
};

HostKey host_key(const Device& device);

/// A device of a VM that is one of the host, as QEMU shows it.
struct Qdev {
  std::string id;              ///< its id, or its QOM path when it has none
  std::optional<HostKey> host; ///< the host's device; unset when QEMU does not say
  bool attached = false;       ///< bound to the host's device
  bool ours = false;           ///< an engine of this project put it there
  DeviceKind kind = DeviceKind::usb;

  /// Only the guest can let go of it, which may take any time; QEMU alone can delete others.
  bool needs_guest() const noexcept { return kind != DeviceKind::usb; }
  bool operator==(const Qdev&) const = default;
};

/// The id for a device that is to be attached: "usbhost-3-78-5f3a01c2". It tells the next engine whose it is and what,
/// also where QEMU does not show that; and an id must not come twice before DEVICE_DELETED has, so the end is a new one
/// each time.
std::string new_qdev_id(const Device& device, std::uint32_t unique);

/// @name Reading ids
/// @{
/// A number at the beginning of `text` and the dash behind it, taken off; nullopt: there is none.
std::optional<int> take_number(std::string_view& text);
/// Whether this is the end that makes an id a new one.
bool is_unique_end(std::string_view text);
/// @}

} // namespace hotplug::detail
