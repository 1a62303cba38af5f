// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hotplug/device.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>

#include <memory>
#include <string>
#include <variant>
#include <vector>

namespace hotplug {

/// A device is there, or something about it has changed.
struct DeviceArrived {
  Device device;
};

/// What was at this sysfs path is gone.
struct DeviceRemoved {
  std::string sys_path;
};

/// A USB hub is there, or something about it has changed. Nobody is told when it goes.
struct HubArrived {
  UsbHub hub;
};

/// Events were lost, or this is the beginning: these are all devices that are there now, and no other is.
struct DeviceSnapshot {
  std::vector<Device> devices;
  std::vector<UsbHub> hubs;
};

using DeviceEvent = std::variant<DeviceArrived, DeviceRemoved, DeviceSnapshot, HubArrived>;

/// The devices of the host that can be passed to VMs, and what becomes of them, as udev tells it.
///
/// It listens before it looks, so nothing that happens in between is missed; it listens to udev, not to the kernel, so
/// that a device's node and its rights are there when it is told of; and when the kernel had to drop events it looks
/// again. Which interfaces a USB device has is read from its descriptors, not asked of the device.
///
/// Bound to one executor. Between events nothing runs.
class UdevSource {
 public:
  /// Throws `std::system_error` when udev cannot be listened to.
  explicit UdevSource(asio::any_io_executor executor);
  UdevSource(UdevSource&&) noexcept;
  UdevSource& operator=(UdevSource&&) noexcept;
  ~UdevSource();

  /// The next event; first a `DeviceSnapshot`. One call at a time. Waits without limit; can be cancelled, and nothing
  /// is lost by it. Throws `std::system_error`.
  asio::awaitable<DeviceEvent> next();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

} // namespace hotplug
