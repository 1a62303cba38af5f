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

/// A USB class code with subclass and protocol.
struct UsbClass {
  std::uint8_t code = 0, subclass = 0, protocol = 0;
  auto operator<=>(const UsbClass&) const = default;
};

/// A USB device of the host that is not a hub.
struct UsbDevice {
  std::string sys_path;    ///< "/sys/devices/pci0000:00/0000:00:14.0/usb3/3-1/3-1.4"
  std::string sys_name;    ///< "3-1.4"
  std::string device_node; ///< "/dev/bus/usb/003/078"
  int bus = 0;             ///< 1 to 255
  int address = 0;         ///< 1 to 127; changes whenever the device is enumerated
  std::vector<int> ports;  ///< from the root hub to the device: 1, 4
  std::string peer_path;   ///< "4-1.4": the same connector on its other bus, USB 2 or USB 3; may be empty
  std::uint16_t vendor_id = 0, product_id = 0;
  UsbClass device_class;
  std::string vendor_name;           ///< from the device, else from udev's hardware database; any bytes but NUL
  std::string product_name;          ///< the same
  std::string serial;                ///< from the device; empty: none
  double speed = 0;                  ///< Mb/s: 1.5, 12, 480, 5000, 10000, 20000; 0: unknown
  std::string removable = "unknown"; ///< "fixed", "removable", "unknown", according to the firmware
  std::string controller;            ///< PCI address of the host controller; empty if it is not a PCI device
  std::string driver_path; ///< path of the kernel module, for a device without a valid interface; usually empty
  bool authorized = true;  ///< by the kernel, for use by the host
  /// Of all configurations, even when the device is not authorised and has none in sysfs; sorted, without duplicates.
  std::vector<UsbClass> interfaces;
  Identity identity;

  int root_port() const noexcept { return ports.empty() ? 0 : ports.front(); }
  /// Bus and ports, "3-1.4".
  std::string port_path() const;
  bool operator==(const UsbDevice&) const = default;
};

/// A USB hub, which never goes to a VM.
struct UsbHub {
  std::string sys_path;
  std::string sys_name;   ///< "3-1"; "usb3" for a root hub
  bool authorized = true; ///< by the kernel
  bool is_root() const { return sys_name.starts_with("usb"); }
  bool operator==(const UsbHub&) const = default;
};

/// What udev and sysfs know about a device. Anything may be missing: devices settle, vanish and lie.
struct UsbRecord {
  std::string sys_path;
  std::string device_node;
  std::map<std::string, std::string, std::less<>> properties; ///< udev's
  std::map<std::string, std::string, std::less<>> attributes; ///< sysfs's, of those in `usb_attributes`
  std::string descriptors;                                    ///< the binary attribute of that name
  /// The sysfs name of the port on the connector's other bus ("usb4-port1", "4-1-port2"), from the link `peer`; empty:
  /// none.
  std::string peer_port;
};

/// The only attributes that are read: some devices freeze when their strings are requested again.
const std::vector<std::string>& usb_attributes();

/// The device that a record describes. Pure. nullopt if it is not one to pass to a VM: a hub, an interface, or a record
/// without bus or address.
std::optional<UsbDevice> make_usb_device(const UsbRecord& record);

/// The hub that a record describes. Pure. nullopt if it is not a hub.
std::optional<UsbHub> make_usb_hub(const UsbRecord& record);

/// The interfaces in a device's binary descriptors, of all configurations; sorted, without duplicates. Truncated or
/// inconsistent descriptors end the list and are not an error.
std::vector<UsbClass> interfaces_of(std::string_view descriptors);

} // namespace hotplug
