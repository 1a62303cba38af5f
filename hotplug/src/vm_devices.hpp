// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "qdev.hpp"
#include "vm_usb.hpp"

#include <hotplug/device.hpp>
#include <qemuctl/instance.hpp>

#include <asio/awaitable.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace hotplug::detail {

/// The host devices that a VM has, and where it can take more.
struct VmDevices {
  std::vector<Qdev> devices;
  VmUsb usb;
};

/// Queries QEMU. Throws `qemuctl::Error`.
asio::awaitable<VmDevices> look_at_devices(qemuctl::Instance& vm);

/// How to attach a device.
struct AttachRequest {
  Device device;
  std::string id;                                    ///< of the new qdev
  bool pass_descriptor = false;                      ///< QEMU may not open the node itself
  std::optional<bool> guest_reset, guest_resets_all; ///< of USB
  std::string port_prefix;                           ///< id prefix of the PCI Express ports to use
  std::string rom_file;                              ///< of PCI; empty: the card's own
  std::chrono::milliseconds timeout{10'000};         ///< for QEMU's answer
};

/// Attaches a host device to the VM, returns when QEMU reports it bound, and updates `has`. On failure nothing of it
/// remains in the VM.
///
/// Throws `qemuctl::Error`: `not_supported` when the VM has no free port, `command_failed` with QEMU's message,
/// otherwise as `Instance::execute` does.
asio::awaitable<void> attach_device(qemuctl::Instance& vm, VmDevices& has, AttachRequest request);

/// Detaches a device from the VM, returns when QEMU has deleted it, and updates `has`. If the guest has to release it,
/// only asks the guest; DEVICE_DELETED follows. Throws `qemuctl::Error`: `timed_out` when QEMU does not do it within
/// `timeout`.
asio::awaitable<void> detach_device(qemuctl::Instance& vm, VmDevices& has, Qdev device,
                                    std::chrono::milliseconds timeout);

} // namespace hotplug::detail
