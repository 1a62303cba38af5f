// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/json.hpp>

#include <map>
#include <string>
#include <vector>

namespace tool {

/// The devices of a list of the device API that a person may mean: those with that node, port ("3-1.4"), address or ids
/// ("046d:c52b"); what looks like none of these may be a name, or a part of one. Pure.
std::vector<const qemuctl::Json*> matching_devices(const qemuctl::Json& devices, const std::string& name);

/// The only one of these. Throws `std::runtime_error` that lists what there is, or what it could be. Pure.
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
