// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hotplug/identity.hpp>

#include <functional>
#include <map>
#include <optional>
#include <string>

namespace hotplug {

/// An input device of the host (evdev) that is not behind USB: a keyboard of a laptop, a touchpad, a virtual one.
struct InputDevice {
  std::string sys_path;    ///< "/sys/devices/platform/i8042/serio0/input/input2/event2": as long as it is there
  std::string sys_name;    ///< "event2"; another one after every boot
  std::string device_node; ///< "/dev/input/event2"
  int input = 0;           ///< 2 of "input2"; the kernel uses no number twice
  int event = 0;           ///< 2 of "event2"; used again by the next device
  std::string name;        ///< "AT Translated Set 2 keyboard"; any bytes but NUL
  std::string path_tag;    ///< udev's ID_PATH_TAG: "platform-i8042-serio-0"; empty: a virtual one
  std::map<std::string, std::string, std::less<>> properties; ///< udev's, but for those of the event
  Identity identity;                                          ///< path tag and name
  bool operator==(const InputDevice&) const = default;
};

/// What udev and sysfs know of an input device.
struct InputRecord {
  std::string sys_path;
  std::string device_node;
  std::map<std::string, std::string, std::less<>> properties; ///< udev's
  std::string name;                                           ///< the attribute of what is above it
};

/// The device that a record describes. Pure. nullopt: it is none to pass to a VM (it has no events, or is behind USB,
/// where the device itself is passed).
std::optional<InputDevice> make_input_device(const InputRecord& record);

} // namespace hotplug
