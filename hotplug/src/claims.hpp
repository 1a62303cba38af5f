// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/file_descriptor.hpp>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace hotplug::detail {

/// A lock on a device of the host that says which engine has it; released when it is destroyed or its process ends.
class Claim {
 public:
  Claim() = default;
  /// Claims `device` (a sysfs name, "3-1.4", or any other valid file name) in that folder, which is created if needed.
  /// If it is taken, the claim is empty and `holder` gets the text of its holder. Throws `qemuctl::Error`.
  static Claim take(const std::filesystem::path& folder, const std::string& device, const std::string& for_whom,
                    std::string& holder);

  explicit operator bool() const noexcept { return static_cast<bool>(file_); }

 private:
  qemuctl::FileDescriptor file_;
};

/// A process that has a device open, as QEMU and libusb's programs do.
struct DeviceUser {
  int pid = 0;
  std::string command;
};

/// The first other process that has that node open; nullopt: none, as far as this user may see. Searches the open files
/// of all processes, because nothing else shows it: QEMU claims no interface before its guest uses the device.
std::optional<DeviceUser> user_of(const std::filesystem::path& node);
/// All of them.
std::vector<DeviceUser> users_of(const std::filesystem::path& node);

} // namespace hotplug::detail
