// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hotplug/input_device.hpp>
#include <hotplug/pci_device.hpp>
#include <hotplug/usb_device.hpp>

#include <string>
#include <string_view>
#include <variant>

namespace hotplug {

/// The kinds of devices that can be passed to a VM, in the order of `Device`.
enum class DeviceKind { usb, input, pci };

/// "usb", "evdev", "pci": the prefixes used by the device API.
std::string_view to_string(DeviceKind kind) noexcept;

/// A device of the host.
using Device = std::variant<UsbDevice, InputDevice, PciDevice>;

DeviceKind kind_of(const Device& device) noexcept;
/// Unique among present devices, and constant until the device is unplugged.
const std::string& sys_path_of(const Device& device) noexcept;
/// Its last component, by which people know the device.
const std::string& sys_name_of(const Device& device) noexcept;
/// The device node; empty for PCI.
std::string device_node_of(const Device& device);

Identity identity_of(const Device& device);

} // namespace hotplug
