// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace hotplug::detail {

/// What decides whether the host may use a USB device.
struct AuthorizationCase {
  bool authorized = true;
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

/// The journal of what was changed: a file for each hub and device with the value it had, written before the change. It
/// outlives the engine but not the host.
class AuthorizationJournal {
 public:
  /// The folder is made when something is written.
  explicit AuthorizationJournal(std::filesystem::path folder) : folder_(std::move(folder)) {}

  /// The values that were written down, by the names in sysfs.
  std::map<std::string, std::string> all() const;
  /// Keeps what is there already. Throws `qemuctl::Error`.
  void add(const std::string& name, const std::string& value) const;
  void remove(const std::string& name) const;

 private:
  std::filesystem::path folder_;
};

/// @name Sysfs
/// @{
/// "usb1", ...: the root hubs that are there.
std::vector<std::string> root_hubs();
/// "/sys/bus/usb/devices/usb1/authorized_default"
std::string default_authorization_file(const std::string& root_hub);
/// "/sys/bus/usb/devices/3-1/authorized"
std::string authorization_file(const std::string& sys_name);
/// Without its end of line; empty: there is none.
std::string read_attribute(const std::string& file);
/// What is wrong; empty: it is written. For what the kernel does at once.
std::string write_attribute(const std::string& file, const std::string& value);
/// @}

} // namespace hotplug::detail
