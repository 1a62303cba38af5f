// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "usb_qdev.hpp"

#include <hotplug/usb_device.hpp>
#include <qemuctl/instance.hpp>

#include <asio/awaitable.hpp>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace hotplug::detail {

/// A USB controller of a VM with a bus of its own.
struct UsbController {
  enum class Kind { uhci, ohci, ehci, xhci };
  Kind kind = Kind::xhci;
  std::string bus; ///< "xhci.0"
  int usb2_ports = 0, usb3_ports = 0;
  /// Ports that something is in, as far as is known: QEMU does not tell of devices it chose the port for itself.
  std::set<int> taken;
};

/// A bus and a port on it.
struct UsbPort {
  std::string bus;
  int number = 0;
};

/// Where a VM can take USB devices.
struct VmUsb {
  std::vector<UsbController> controllers;
  std::map<std::string, UsbPort> ports; ///< of our devices, by their ids

  void take(const std::string& id, const UsbPort& port);
  void release(const std::string& id);
};

/// The best free port for a device of that speed (Mb/s; 0: not known): one that does not slow it down. nullopt: there
/// is none. Pure.
std::optional<UsbPort> choose_port(const std::vector<UsbController>& controllers, double speed);

/// @name What QEMU shows of the object at `path`
/// They throw `qemuctl::Error`.
/// @{
/// A `usb-host`, which gets this id.
asio::awaitable<Qdev> look_at_usb_device(qemuctl::Instance& vm, std::string path, std::string id);
/// Which port it is in; nullopt: it has none by name.
asio::awaitable<std::optional<UsbPort>> look_at_usb_port(qemuctl::Instance& vm, std::string path);
/// nullopt: an object of that type is no USB controller.
asio::awaitable<std::optional<UsbController>> look_at_usb_controller(qemuctl::Instance& vm, std::string path,
                                                                     std::string type);
/// @}

struct UsbAttachRequest {
  UsbDevice device;
  std::string id; ///< of the new qdev
  std::optional<bool> guest_reset, guest_resets_all;
  bool pass_descriptor = false; ///< QEMU may not open the node itself
};

/// See `attach_device`. Adds a controller when there is no free port and the machine allows it.
///
/// Each port is named, so QEMU never puts its 12 Mb/s hub in between.
asio::awaitable<void> attach_usb(qemuctl::Instance& vm, VmUsb& usb, UsbAttachRequest request);

} // namespace hotplug::detail
