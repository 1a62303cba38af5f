// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace hotplug {

/// Where to put the devices that a VM starts with.
struct StartOptions {
  StartOptions() = default; // no aggregate: see `qemuctl::QmpClientOptions`

  /// Id prefix of the VM's empty PCI Express ports, "rp"; each card gets one. Empty: the root bus, where QEMU can
  /// unplug devices only if it is conventional PCI (machine "pc").
  std::string bus_prefix;
  int first_bus = 0; ///< number of the first port to use, also of those named by input rules
  /// Use JSON for `-device`; the ports must use it as well then, because QEMU creates other devices before those given
  /// as JSON.
  bool json = false;
  bool input_on_buses = false; ///< also give input devices a port when their rule names none
};

/// What to start a VM with so that it has its devices from the start.
struct StartArguments {
  std::vector<std::string> arguments; ///< for QEMU's command line; no blanks except in file names
  int buses = 0;                      ///< number of ports used
  bool uefi = false;                  ///< a card needs UEFI firmware, which is not part of `arguments`
};

} // namespace hotplug
