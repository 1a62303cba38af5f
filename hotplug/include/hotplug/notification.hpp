// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hotplug/state.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace hotplug {

/// A change that is of interest to clients.
struct Notification {
  enum class Kind {
    connected,
    disconnected,
    attached, ///< QEMU reports the device bound
    detached,
    select_vm, ///< the user has to choose a VM
    degraded,  ///< it cannot be where it should be; `text` says why
    vm_state,  ///< the VM's own state; for the monitor's see `Engine::vms`
  };
  Kind kind = Kind::connected;
  DeviceState device;     ///< after the change (for `disconnected`: before it); unset for `vm_state`
  std::string vm;         ///< of `attached`, `detached` and `vm_state`
  std::string text;       ///< of `degraded`
  std::uint64_t lost = 0; ///< notifications dropped just before this one because the queue was full
  qemuctl::State state = qemuctl::State::unknown; ///< of `vm_state`
};

/// The event name in the device API: "usb_connected", ..., and "device_degraded" and "vm_state" for all kinds.
std::string event_name(const Notification& notification);

/// The notifications for a device that changed from `before` to `after`; nullptr means absent. Pure.
///
/// A device that is unplugged while attached is first detached, then disconnected.
std::vector<Notification> difference(const DeviceState* before, const DeviceState* after);

} // namespace hotplug
