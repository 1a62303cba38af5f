// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hotplug/notification.hpp>
#include <hotplug/rules.hpp>
#include <hotplug/state.hpp>
#include <qemuctl/instance.hpp>
#include <qemuctl/json.hpp>

#include <string_view>

namespace hotplug::detail {

/// A device with vhotplug's field names, and ours.
qemuctl::Json to_json(const UsbState& usb, const UsbRules& rules);
/// The same for a device of any kind.
qemuctl::Json to_json(const DeviceState& state, const Rules& rules);
/// A VM; with its state when QEMU has been asked.
qemuctl::Json to_json(const VmState& vm, const qemuctl::VmStatus* status = nullptr);
/// An event.
qemuctl::Json to_json(const Notification& notification, const Rules& rules);

qemuctl::Json ok_answer();
qemuctl::Json failed_answer(std::string_view error);

/// As data URLs and answers have it.
std::string base64(std::string_view bytes);

} // namespace hotplug::detail
