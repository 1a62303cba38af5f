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

/// What a VM has of the host's devices, and where it can take more.
struct VmDevices {
  std::vector<Qdev> devices;
  VmUsb usb;
};

/// Asks QEMU what the VM has. Throws `qemuctl::Error`.
asio::awaitable<VmDevices> look_at_devices(qemuctl::Instance& vm);

/// How a device is to be attached.
struct AttachRequest {
  Device device;
  std::string id;                                    ///< of the new qdev
  bool pass_descriptor = false;                      ///< QEMU may not open the node itself
  std::optional<bool> guest_reset, guest_resets_all; ///< of USB
  std::string port_prefix;                           ///< of the ids of the PCI Express ports that it may go to
  std::string rom_file;                              ///< of PCI; empty: the card's own ROM
  std::chrono::milliseconds timeout{10'000};         ///< for QEMU's answer
};

/// Puts a device of the host into the VM, and returns when QEMU shows it bound; `has` is brought up to date. When it
/// fails, nothing of it is left in the VM.
///
/// Throws `qemuctl::Error`: `not_supported` when the VM has no place for it, `command_failed` with QEMU's words,
/// otherwise as `Instance::execute`.
asio::awaitable<void> attach_device(qemuctl::Instance& vm, VmDevices& has, AttachRequest request);

/// Takes a device out of the VM, and returns when QEMU has deleted it; `has` is brought up to date. When its guest has
/// to let go of it, it is only asked to: DEVICE_DELETED will tell. Throws `qemuctl::Error`, `timed_out` when QEMU does
/// not do it within `timeout`.
asio::awaitable<void> detach_device(qemuctl::Instance& vm, VmDevices& has, Qdev device,
                                    std::chrono::milliseconds timeout);

} // namespace hotplug::detail
