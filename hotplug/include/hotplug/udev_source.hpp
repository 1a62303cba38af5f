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

/// A device has appeared or changed.
struct DeviceArrived {
  Device device;
};

/// The device at this sysfs path is gone.
struct DeviceRemoved {
  std::string sys_path;
};

/// A USB hub has appeared or changed. Its removal is not reported.
struct HubArrived {
  UsbHub hub;
};

/// At the start and after lost events: all devices that are present now.
struct DeviceSnapshot {
  std::vector<Device> devices;
  std::vector<UsbHub> hubs;
};

using DeviceEvent = std::variant<DeviceArrived, DeviceRemoved, DeviceSnapshot, HubArrived>;

/// Follows, through udev, the devices of the host that can be passed to VMs.
///
/// It subscribes before it enumerates, so nothing in between is missed. It listens to udev rather than to the kernel,
/// so a device's node and permissions are in place when it is reported. When the kernel had to drop events, it
/// enumerates again. USB interfaces are read from the cached descriptors, without asking the device.
///
/// Bound to one executor. Idle between events.
class UdevSource {
 public:
  /// Throws `std::system_error` when udev is not available.
  explicit UdevSource(asio::any_io_executor executor);
  UdevSource(UdevSource&&) noexcept;
  UdevSource& operator=(UdevSource&&) noexcept;
  ~UdevSource();

  /// The next event; the first is a `DeviceSnapshot`. One call at a time. Waits without a deadline; cancelling loses
  /// nothing. Throws `std::system_error`.
  asio::awaitable<DeviceEvent> next();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

} // namespace hotplug
