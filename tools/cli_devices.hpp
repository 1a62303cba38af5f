// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/json.hpp>

#include <map>
#include <string>

namespace tool {

/// The device of a list of the device API that a person means: by its node, port ("3-1.4"), ids ("046d:c52b"), or a
/// part of its name that no other has. Throws `std::runtime_error` that lists what there is, or what it could be. Pure.
const qemuctl::Json& find_device(const qemuctl::Json& devices, const std::string& name);

/// "3-1.4 046d:c52b Logitech USB Receiver"
std::string device_text(const qemuctl::Json& device);

/// What keeps VMs from having devices, by name: "waiting", or a problem.
using VmProblems = std::map<std::string, std::string>;

/// Where a device is, or why it is nowhere. Pure.
std::string where_and_why(const qemuctl::Json& device, const VmProblems& vms);

/// `devices` as a table.
std::string device_table(const qemuctl::Json& devices, const VmProblems& vms);

/// `vms` as a table. How many devices each has is taken from the list of devices.
std::string vm_table(const qemuctl::Json& vms, const qemuctl::Json& devices);

/// An event in one line: "usb_attached 3-1.4 046d:c52b Logitech USB Receiver: vm1".
std::string event_text(const qemuctl::Json& event);

/// The string under that key; empty when there is none.
std::string text_of(const qemuctl::Json& object, const char* key);

} // namespace tool
