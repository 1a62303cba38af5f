// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace hotplug {

/// Where the devices that a VM starts with are put.
struct StartOptions {
  StartOptions() = default; // no aggregate: see `qemuctl::QmpClientOptions`

  /// Its empty PCI Express ports, one for each card: their ids without the number, "rp". Empty: the machine's own bus,
  /// on which QEMU can let go of a device only where that is conventional PCI ("pc").
  std::string bus_prefix;
  int first_bus = 0; ///< the number of the first of them, and of those that rules for input devices name
  /// `-device` with JSON, as the ports must be then: QEMU makes devices that are not described so before those that
  /// are.
  bool json = false;
  bool input_on_buses = false; ///< input devices, too, get such a port when their rule names none
};

/// What a VM is started with so that it has its devices from the start.
struct StartArguments {
  std::vector<std::string> arguments; ///< for QEMU's command line; without blanks, but for those in names of files
  int buses = 0;                      ///< how many of the ports are used
  bool uefi = false;                  ///< a card among them needs UEFI firmware, which is not in `arguments`
};

} // namespace hotplug
