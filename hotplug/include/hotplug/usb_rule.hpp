// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hotplug/rule.hpp>
#include <hotplug/usb_device.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace hotplug {

/// A condition for one interface: the fields that are there must all match the same interface. 0 is a value like any
/// other.
struct InterfaceMatch {
  std::optional<std::uint8_t> code, subclass, protocol;
  bool operator==(const InterfaceMatch&) const = default;
};

/// Conditions for all interfaces of a device together. A device with one interface more than it should have (a disk
/// that also is a keyboard) is told by `equals` or `none_of`.
struct InterfaceSet {
  std::vector<InterfaceMatch> any_of;  ///< at least one of these is there; empty: no condition
  std::vector<InterfaceMatch> all_of;  ///< each of these is there
  std::vector<InterfaceMatch> none_of; ///< none of these is there
  std::vector<InterfaceMatch>
      equals; ///< each of these is there, and each interface is one of these; empty: no condition
  bool operator==(const InterfaceSet&) const = default;
};

/// Conditions for a USB device. All that are there must hold; none at all match no device. About regular expressions
/// see `regular_expression_error`.
struct UsbMatch {
  std::optional<std::uint16_t> vendor_id, product_id;
  std::optional<std::string> vendor_name, product_name; ///< regular expressions
  std::optional<std::string> serial;                    ///< exactly
  std::optional<int> bus;                               ///< 1 to 255
  std::optional<int> port;                              ///< of the root hub
  std::optional<std::string> port_path;                 ///< "3-1.4.2"; also that of the connector's other side
  std::optional<std::string> controller;                ///< PCI address of the host controller
  std::optional<std::uint8_t> device_class, device_subclass, device_protocol;
  InterfaceMatch interface;           ///< of one interface
  InterfaceSet interfaces;            ///< of all of them
  std::vector<std::string> removable; ///< one of "fixed", "removable", "unknown"; empty: no condition
  std::optional<double> speed;        ///< Mb/s
  /// A regular expression for the path of the kernel module; holds only for devices without a valid interface.
  std::optional<std::string> driver_path;
  std::string description;
  bool enabled = true; ///< otherwise it is as if it were not there
  bool operator==(const UsbMatch&) const = default;
};

/// Which VMs a USB device goes to.
struct UsbRule : RuleBase {
  std::vector<UsbMatch> allow, deny;
  std::optional<bool> guest_reset;      ///< QEMU's `guest-reset`; unset: QEMU's default
  std::optional<bool> guest_resets_all; ///< QEMU's `guest-resets-all`; unset: QEMU's default
  bool operator==(const UsbRule&) const = default;
};

extern template class RuleSet<UsbRule, UsbDevice>;
using UsbRules = RuleSet<UsbRule, UsbDevice>;

} // namespace hotplug
