// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hotplug/state.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace hotplug {

/// Something has changed that clients want to know.
struct Notification {
  enum class Kind {
    connected,
    disconnected,
    attached, ///< QEMU shows the device bound
    detached,
    select_vm, ///< a person has to choose
    degraded,  ///< it is not where it is to be, and `text` says why
    vm_state,  ///< of the VM itself; what becomes of its monitor is told by `Engine::vms` alone
  };
  Kind kind = Kind::connected;
  DeviceState device;     ///< as it is after the change (before it, for `disconnected`); not for `vm_state`
  std::string vm;         ///< of `attached`, `detached` and `vm_state`
  std::string text;       ///< of `degraded`
  std::uint64_t lost = 0; ///< those that were dropped just before this one, because the reader's queue was full
  qemuctl::State state = qemuctl::State::unknown; ///< of `vm_state`
};

/// "usb_connected", ...: the names of the device API's events; "device_degraded" and "vm_state" for all kinds of
/// devices.
std::string event_name(const Notification& notification);

/// What to tell of a device that was `before` and is `after`; nullptr: it was not or is not there. Pure.
///
/// A device that is pulled while a VM has it is first detached, then disconnected.
std::vector<Notification> difference(const DeviceState* before, const DeviceState* after);

} // namespace hotplug
