// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/json.hpp>

#include <cstdint>
#include <string>
#include <variant>

namespace qemuctl {

struct UsbControllerConfig {
  std::string type = "qemu-xhci"; ///< QEMU's device; an xHCI controller gets 15 + 15 ports
  bool operator==(const UsbControllerConfig&) const = default;
};

/// A USB device that QEMU emulates.
struct UsbDeviceConfig {
  std::string type;    ///< "usb-tablet", "usb-mouse", "usb-kbd", "usb-redir", "usb-serial", ...
  std::string chardev; ///< the id of a character device, for "usb-redir" and "usb-serial"
  bool operator==(const UsbDeviceConfig&) const = default;
};

/// A USB device of the host: selected by identity, by location, or both.
struct UsbHostDevice {
  int vendor_id = -1;  ///< 0 to 0xffff; -1: any
  int product_id = -1; ///< 0 to 0xffff; -1: any
  int bus = 0;         ///< 1 to 255, with `address` or `port`
  int address = 0;     ///< 1 to 127: of a device that is present now. 0: not given
  std::string port;    ///< "1.2": any device plugged in there, now or later; empty: not given
  bool operator==(const UsbHostDevice&) const = default;
};

/// A PCI device of the host that is already bound to vfio-pci.
struct PciHostDevice {
  std::string address;  ///< "0000:01:00.0", the domain may be omitted
  std::string rom_file; ///< path of the option ROM the guest sees; empty: the device's own
  bool operator==(const PciHostDevice&) const = default;
};

/// A host device that the VM has from its start.
using HostDevice = std::variant<UsbHostDevice, PciHostDevice>;

/// Room for devices that are plugged in while the VM runs: an xHCI controller (unless `VmConfig::usb` says otherwise)
/// and empty PCI Express root ports.
struct HotplugConfig {
  /// 0 to 200. -1: 4 on q35 and virt, none on others. "pc" needs none, as pci.0 accepts devices at any time.
  int pcie_ports = -1;
  /// Start the VM with the PCI and input devices that its rules match, instead of attaching them right afterwards.
  /// Implemented by `hotplug::Engine::with_start_devices`; `Instance::launch` ignores it.
  bool at_start = false;
  std::string rules_file; ///< path of the rules for the hotplug engine; empty: none, or those in `rules`
  /// The rules themselves, as `hotplug::read_rules` takes them; null: none. Ignored when a VM is launched.
  Json rules;
  bool operator==(const HotplugConfig&) const = default;
};

/// Data that other options refer to by its id. It never appears on QEMU's command line.
struct SecretConfig {
  std::string id;
  std::string data;   ///< the data itself,
  std::string file;   ///< or a file that contains it
  std::string format; ///< "raw" or "base64"; empty: "raw"
  bool operator==(const SecretConfig&) const = default;
};

} // namespace qemuctl
