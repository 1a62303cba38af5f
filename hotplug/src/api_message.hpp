// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hotplug/notification.hpp>
#include <hotplug/rules.hpp>
#include <hotplug/state.hpp>
#include <qemuctl/instance.hpp>
#include <qemuctl/json.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace hotplug::detail {

/// A device with vhotplug's members and ours.
qemuctl::Json to_json(const DeviceState& state, const Rules& rules);
/// "usb_device", "pci_device", "evdev_device": what a device is called in events, and with an s in lists.
std::string member_name(DeviceKind kind);
/// The rule that decides about a device; nullptr: none does.
const RuleBase* rule_of(const DeviceState& state, const Rules& rules);
/// A VM; with its state if QEMU was queried for it.
qemuctl::Json to_json(const VmState& vm, const qemuctl::VmStatus* status = nullptr);
/// An event.
qemuctl::Json to_json(const Notification& notification, const Rules& rules);

/// An array.
qemuctl::Json to_json(const std::vector<std::string>& list);

qemuctl::Json ok_answer();
qemuctl::Json failed_answer(std::string_view error);

/// In base64.
std::string base64(std::string_view bytes);

} // namespace hotplug::detail
