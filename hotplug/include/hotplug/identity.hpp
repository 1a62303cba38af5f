// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <string>

namespace hotplug {

/// What identifies a device across unplugging and plugging in, and across changes of bus numbers.
struct Identity {
  /// Its location. USB: the PCI address of the host controller and the ports from the root hub on,
  /// "0000:00:14.0/1.4.2", the same for the USB 2 and the USB 3 side of one connector. PCI: the address. Input: udev's
  /// path tag and the name.
  std::string connector;
  std::string serial; ///< USB only; may be empty, and some vendors use the same for all devices
  /// A hash of the USB descriptors, 16 hexadecimal digits; empty if they could not be read. PCI: the ids.
  std::string fingerprint;
  auto operator<=>(const Identity&) const = default;
};

} // namespace hotplug
