// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "usb_qdev.hpp"

#include <hotplug/usb_device.hpp>
#include <qemuctl/instance.hpp>

#include <asio/awaitable.hpp>

#include <chrono>
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

/// What a VM has of USB.
struct VmUsb {
  std::vector<UsbController> controllers;
  std::vector<UsbQdev> devices;
  std::map<std::string, UsbPort> ports; ///< of our devices, by their ids

  void take(const std::string& id, const UsbPort& port);
  void release(const std::string& id);
};

/// The best free port for a device of that speed (Mb/s; 0: not known): one that does not slow it down. nullopt: there
/// is none. Pure.
std::optional<UsbPort> choose_port(const std::vector<UsbController>& controllers, double speed);

/// Asks QEMU what the VM has. Throws `qemuctl::Error`.
asio::awaitable<VmUsb> look_at_usb(qemuctl::Instance& vm);

/// How a device is to be attached.
struct AttachRequest {
  std::string sys_path, device_node;
  UsbAddress address;
  double speed = 0;
  std::string id; ///< of the new qdev
  std::optional<bool> guest_reset, guest_resets_all;
  bool pass_descriptor = false; ///< QEMU may not open the node itself
};

/// Puts a device of the host into the VM, and returns when QEMU shows it bound; `usb` is brought up to date. When it
/// fails, nothing of it is left in the VM. Adds a controller when there is no free port and the machine allows it.
///
/// Each port is named, so QEMU never puts its 12 Mb/s hub in between. Throws `qemuctl::Error`: `not_supported` when
/// there is no port for it, `command_failed` with QEMU's words, otherwise as `Instance::execute`.
asio::awaitable<void> attach_usb(qemuctl::Instance& vm, VmUsb& usb, AttachRequest request);

/// Takes a device out of the VM, and returns when QEMU has deleted it. Throws `qemuctl::Error`, `timed_out` when it has
/// not within `timeout`.
asio::awaitable<void> detach_usb(qemuctl::Instance& vm, VmUsb& usb, std::string id, std::chrono::milliseconds timeout);

} // namespace hotplug::detail
