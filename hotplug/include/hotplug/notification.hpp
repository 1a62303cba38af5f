// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hotplug/state.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hotplug {

/// Something has changed that clients want to know.
struct Notification {
  enum class Kind {
    usb_connected,
    usb_disconnected,
    usb_attached, ///< QEMU shows the device bound
    usb_detached,
    usb_select_vm,   ///< a person has to choose
    device_degraded, ///< it is not where it is to be, and `text` says why
    vm_state,
  };
  Kind kind = Kind::usb_connected;
  UsbState usb;           ///< as it is after the change (before it, for `usb_disconnected`); not for `vm_state`
  std::string vm;         ///< of `usb_attached`, `usb_detached` and `vm_state`
  std::string text;       ///< of `device_degraded`; of `vm_state` what is in the way, empty: nothing
  std::uint64_t lost = 0; ///< those that were dropped just before this one, because the reader's queue was full
  LinkState link = LinkState::waiting; ///< of `vm_state`
};

/// "usb_connected", ...: the names of the device API's events.
std::string_view to_string(Notification::Kind kind) noexcept;

/// What to tell of a device that was `before` and is `after`; nullptr: it was not or is not there. Pure.
///
/// A device that is pulled while a VM has it is first detached, then disconnected.
std::vector<Notification> difference(const UsbState* before, const UsbState* after);

} // namespace hotplug
