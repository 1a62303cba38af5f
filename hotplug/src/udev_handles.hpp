// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// What libudev makes, released when it is not needed any more.
#pragma once

#include <libudev.h>

#include <memory>

namespace hotplug::detail {

template<typename T, T* (*Release)(T*)>
struct UdevReleaser {
  void operator()(T* object) const noexcept { Release(object); }
};
using UdevHandle = std::unique_ptr<udev, UdevReleaser<udev, udev_unref>>;
using UdevMonitorHandle = std::unique_ptr<udev_monitor, UdevReleaser<udev_monitor, udev_monitor_unref>>;
using UdevDeviceHandle = std::unique_ptr<udev_device, UdevReleaser<udev_device, udev_device_unref>>;
using UdevEnumerateHandle = std::unique_ptr<udev_enumerate, UdevReleaser<udev_enumerate, udev_enumerate_unref>>;

} // namespace hotplug::detail
