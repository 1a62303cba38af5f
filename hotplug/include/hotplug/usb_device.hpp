// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hotplug/identity.hpp>

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hotplug {

/// A class code of the USB-IF with its subclass and protocol.
struct UsbClass {
  std::uint8_t code = 0, subclass = 0, protocol = 0;
  auto operator<=>(const UsbClass&) const = default;
};

/// A USB device of the host, hubs not among them: their children are devices of their own.
struct UsbDevice {
  std::string sys_path;    ///< "/sys/devices/pci0000:00/0000:00:14.0/usb3/3-1/3-1.4": as long as it is plugged in
  std::string sys_name;    ///< "3-1.4"
  std::string device_node; ///< "/dev/bus/usb/003/078"
  int bus = 0;             ///< 1 to 255
  int address = 0;         ///< 1 to 127; another one after every reset of the bus
  std::vector<int> ports;  ///< from the root hub on: 1, 4
  std::string peer_path;   ///< "4-1.4": the same connector on the bus of its other side, USB 2 or USB 3; may be empty
  std::uint16_t vendor_id = 0, product_id = 0;
  UsbClass device_class;
  std::string vendor_name;  ///< what the device says, otherwise what the hardware database says; any bytes but NUL
  std::string product_name; ///< the same
  std::string serial;       ///< the same; empty: it has none
  double speed = 0;         ///< Mb/s: 1.5, 12, 480, 5000, 10000, 20000; 0: not known
  std::string removable = "unknown"; ///< "fixed", "removable", "unknown", as the firmware says
  std::string controller;            ///< the PCI address of the host controller; empty: it is not a PCI device
  std::string driver_path;           ///< of the kernel module for a device without a valid interface; mostly empty
  bool authorized = true;            ///< the kernel uses it
  /// Those of all configurations, also of a device that is not authorised and therefore has none in sysfs; sorted, each
  /// once.
  std::vector<UsbClass> interfaces;
  Identity identity;

  int root_port() const noexcept { return ports.empty() ? 0 : ports.front(); }
  /// "3-1.4": bus and ports.
  std::string port_path() const;
  bool operator==(const UsbDevice&) const = default;
};

/// A USB hub, which never goes to a VM.
struct UsbHub {
  std::string sys_path;
  std::string sys_name;   ///< "3-1"; "usb3" of a root hub
  bool authorized = true; ///< the kernel uses it
  bool is_root() const { return sys_name.starts_with("usb"); }
  bool operator==(const UsbHub&) const = default;
};

/// What udev and sysfs know of a device. Any of it may be missing: devices settle, vanish and lie.
struct UsbRecord {
  std::string sys_path;
  std::string device_node;
  std::map<std::string, std::string, std::less<>> properties; ///< udev's
  std::map<std::string, std::string, std::less<>> attributes; ///< sysfs's, of those in `usb_attributes`
  std::string descriptors;                                    ///< the binary attribute of that name
  /// The sysfs name of the port that is the other side of the same connector ("usb4-port1", "4-1-port2"), from the
  /// link `peer`; empty: none.
  std::string peer_port;
};

/// The attributes that are read of a device, no others: some devices freeze when their strings are asked for again.
const std::vector<std::string>& usb_attributes();

/// The device that a record describes. Pure. nullopt: it is no device to pass to a VM (a hub, an interface, or there is
/// no bus or address in it).
std::optional<UsbDevice> make_usb_device(const UsbRecord& record);

/// The hub that a record describes. Pure. nullopt: it is none.
std::optional<UsbHub> make_usb_hub(const UsbRecord& record);

/// The interfaces in a device's binary descriptors, of all configurations; sorted, each once. What is cut off or
/// inconsistent ends the list, and is no error.
std::vector<UsbClass> interfaces_of(std::string_view descriptors);

} // namespace hotplug
