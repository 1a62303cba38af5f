// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hotplug/identity.hpp>

#include <functional>
#include <map>
#include <optional>
#include <string>

namespace hotplug {

/// An input device (evdev) of the host that is not on USB: a laptop's keyboard or touchpad, or a virtual device.
struct InputDevice {
  std::string sys_path;    ///< "/sys/devices/platform/i8042/serio0/input/input2/event2"
  std::string sys_name;    ///< "event2"; may change at every boot
  std::string device_node; ///< "/dev/input/event2"
  int input = 0;           ///< 2 in "input2"; never reused by the kernel
  int event = 0;           ///< 2 in "event2"; reused by later devices
  std::string name;        ///< "AT Translated Set 2 keyboard"; any bytes but NUL
  std::string path_tag;    ///< udev's ID_PATH_TAG: "platform-i8042-serio-0"; empty for a virtual device
  std::map<std::string, std::string, std::less<>> properties; ///< udev's, without those that describe the event
  Identity identity;                                          ///< path tag and name
  bool operator==(const InputDevice&) const = default;
};

/// What udev and sysfs know about an input device.
struct InputRecord {
  std::string sys_path;
  std::string device_node;
  std::map<std::string, std::string, std::less<>> properties; ///< udev's
  std::string name;                                           ///< attribute of its parent
};

/// The device that a record describes. Pure. nullopt if it is not one to pass to a VM: it has no events, or it is on
/// USB, where the USB device is passed instead.
std::optional<InputDevice> make_input_device(const InputRecord& record);

} // namespace hotplug
