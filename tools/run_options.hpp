// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace tool {

/// What the user typed. Exactly one of `vm_file`, `attach_pid` and `attach` is there.
struct RunOptions {
  std::optional<std::filesystem::path> vm_file;
  std::optional<int> attach_pid;
  std::optional<std::string> attach; ///< a monitor's address
  std::string name;                  ///< instead of the one in `vm_file`
  /// Rules for the devices of the host; without it those in `vm_file`, if it has any.
  std::optional<std::filesystem::path> hotplug;
  bool check = false;
  bool dry_run = false;
  bool detach = false;
  bool console = false;
  bool verbose = false;
};

/// The exit statuses of `qemuctl-run`.
enum class ExitStatus {
  good = 0,   ///< the guest ended by itself, or was asked to and did
  failed = 1, ///< it could not start, crashed or was killed
  usage = 2,  ///< the command line or the file is wrong
  forced = 3, ///< the guest had to be forced
};

} // namespace tool
