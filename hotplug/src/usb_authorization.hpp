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
  bool in_vm = false;      ///< or on its way there
  bool was_in_vm = false;  ///< since it was plugged in
  bool has_rule = false;   ///< one that sends it to VMs
  bool host_allow = false; ///< one that leaves it to the host
  bool was_there = false;  ///< before the engine
  bool host_uses = false;  ///< a mounted file system, the way to the network
  bool sweep = false;      ///< what was there and has no rule is not left to the host
};

/// Whether it is to be authorised; nullopt: it stays as it is. Pure.
std::optional<bool> wanted_authorization(const AuthorizationCase& facts);

/// What a hub or a device had for "authorized" before it was changed.
struct AuthorizationBefore {
  std::string sys_name;
  std::string address{}; ///< of a device, because the next one in that port has another; empty: a root hub
  std::string value;
  bool operator==(const AuthorizationBefore&) const = default;

  static constexpr const char* operation = "note what USB devices were authorised";
  std::string name() const { return address.empty() ? sys_name : sys_name + "@" + address; }
  std::string text() const { return value + "\n"; }
  static std::optional<AuthorizationBefore> parse(const std::string& name, const std::string& text);
};

/// What a device has now.
AuthorizationBefore authorization_before(const UsbDevice& device);

using AuthorizationJournal = Journal<AuthorizationBefore>;

/// @name Sysfs
/// @{
/// "usb1", ...: the root hubs that are there.
std::vector<std::string> root_hubs();
/// "/sys/bus/usb/devices/usb1/authorized_default"
std::string default_authorization_file(const std::string& root_hub);
/// "/sys/bus/usb/devices/3-1/authorized"
std::string authorization_file(const std::string& sys_name);
/// @}

} // namespace hotplug::detail
