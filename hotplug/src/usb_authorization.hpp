// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "journal.hpp"

#include <hotplug/usb_device.hpp>

#include <optional>
#include <string>
#include <vector>

namespace hotplug::detail {

/// What decides whether the host may use a USB device.
struct AuthorizationCase {
  bool in_vm = false;      ///< or about to be
  bool was_in_vm = false;  ///< since it was plugged in
  bool has_rule = false;   ///< a rule sends it to VMs
  bool host_allow = false; ///< it matches `hostAllow`
  bool was_there = false;  ///< present before the engine started
  bool host_uses = false;  ///< for a mounted file system or the default route
  bool sweep = false;      ///< `deauthorizeUnmatched`
};

/// Whether to authorise it; nullopt: leave it as it is. Pure.
std::optional<bool> wanted_authorization(const AuthorizationCase& facts);

/// The previous value of "authorized" of a hub or device.
struct AuthorizationBefore {
  std::string sys_name;
  std::string address{}; ///< of a device, because the next one in that port has another; empty for a root hub
  std::string value;
  bool operator==(const AuthorizationBefore&) const = default;

  static constexpr const char* operation = "note what USB devices were authorised";
  std::string name() const { return address.empty() ? sys_name : sys_name + "@" + address; }
  std::string text() const { return value + "\n"; }
  static std::optional<AuthorizationBefore> parse(const std::string& name, const std::string& text);
};

/// The current value of a device.
AuthorizationBefore authorization_before(const UsbDevice& device);

using AuthorizationJournal = Journal<AuthorizationBefore>;

/// @name Sysfs
/// @{
/// The present root hubs, "usb1", ...
std::vector<std::string> root_hubs();
/// "/sys/bus/usb/devices/usb1/authorized_default"
std::string default_authorization_file(const std::string& root_hub);
/// "/sys/bus/usb/devices/3-1/authorized"
std::string authorization_file(const std::string& sys_name);
/// @}

} // namespace hotplug::detail
