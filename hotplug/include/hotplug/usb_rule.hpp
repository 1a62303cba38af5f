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

/// A condition on one interface: all fields that are set must match the same interface. 0 is a value like any other.
struct InterfaceMatch {
  std::optional<std::uint8_t> code, subclass, protocol;
  bool operator==(const InterfaceMatch&) const = default;
};

/// Conditions on the interfaces of a device as a whole. `equals` and `none_of` catch a device with an interface that it
/// should not have (a disk that is also a keyboard).
struct InterfaceSet {
  std::vector<InterfaceMatch> any_of;  ///< at least one is present; empty: no condition
  std::vector<InterfaceMatch> all_of;  ///< each is present
  std::vector<InterfaceMatch> none_of; ///< none is present
  std::vector<InterfaceMatch> equals;  ///< each is present, and there are no others; empty: no condition
  bool operator==(const InterfaceSet&) const = default;
};

/// Conditions on a USB device. All that are set must hold; without any it matches nothing. For regular expressions see
/// `regular_expression_error`.
struct UsbMatch {
  std::optional<std::uint16_t> vendor_id, product_id;
  std::optional<std::string> vendor_name, product_name; ///< regular expressions
  std::optional<std::string> serial;                    ///< exact
  std::optional<int> bus;                               ///< 1 to 255
  std::optional<int> port;                              ///< on the root hub
  std::optional<std::string> port_path;                 ///< "3-1.4.2", on either bus of the connector
  std::optional<std::string> controller;                ///< PCI address of the host controller
  std::optional<std::uint8_t> device_class, device_subclass, device_protocol;
  InterfaceMatch interface;           ///< on one interface
  InterfaceSet interfaces;            ///< on all of them
  std::vector<std::string> removable; ///< one of "fixed", "removable", "unknown"; empty: no condition
  std::optional<double> speed;        ///< Mb/s
  /// Regular expression for the path of the kernel module; matches only devices without a valid interface.
  std::optional<std::string> driver_path;
  std::string description;
  bool enabled = true; ///< false: ignored
  bool operator==(const UsbMatch&) const = default;
};

/// Which VMs a USB device goes to.
struct UsbRule : RuleBase {
  std::vector<UsbMatch> allow, deny;
  bool force = false;              ///< also take it when the host uses it, such as a disk with mounted file systems
  std::optional<bool> guest_reset; ///< QEMU's `guest-reset`; unset: QEMU's default
  std::optional<bool> guest_resets_all; ///< QEMU's `guest-resets-all`; unset: QEMU's default
  bool operator==(const UsbRule&) const = default;
};

extern template class RuleSet<UsbRule, UsbDevice>;
using UsbRules = RuleSet<UsbRule, UsbDevice>;

} // namespace hotplug
