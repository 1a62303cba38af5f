// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hotplug/device.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace hotplug::detail {

/// How QEMU identifies a host device. When this changes, it is another device to QEMU, wherever it is plugged in.
struct HostKey {
  DeviceKind kind = DeviceKind::usb;
  std::string address; ///< "3:78"; input/event of an input device: "7/3"; "0000:01:00.0"
  auto operator<=>(const HostKey&) const = default;
};

HostKey host_key(const Device& device);

/// A VM's device that is backed by a host device, as QEMU reports it.
struct Qdev {
  std::string id;              ///< its id, or its QOM path when it has none
  std::optional<HostKey> host; ///< the host device; unset when QEMU does not say
  bool attached = false;       ///< bound to the host device
  bool ours = false;           ///< attached by an engine of this project
  DeviceKind kind = DeviceKind::usb;

  /// Only the guest can release it, which may take any time; other devices QEMU can delete by itself.
  bool needs_guest() const noexcept { return kind != DeviceKind::usb; }
  bool operator==(const Qdev&) const = default;
};

/// The id for a device to attach: "usbhost-3-78-5f3a01c2". It tells a later engine that the device is ours and which
/// one it is, even where QEMU does not report that. The suffix is unique, because an id must not be reused before
/// DEVICE_DELETED.
std::string new_qdev_id(const Device& device, std::uint32_t unique);

/// @name Reading ids
/// @{
/// Removes a leading number and the dash behind it from `text`; nullopt if there is none.
std::optional<int> take_number(std::string_view& text);
/// Whether this is such a suffix.
bool is_unique_end(std::string_view text);
/// @}

} // namespace hotplug::detail
