// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/qemu_info.hpp>
#include <qemuctl/vm_config.hpp>

#include <asio/awaitable.hpp>

#include <string>
#include <vector>

namespace qemuctl {

/// What a launch will do.
struct LaunchPlan {
  /// The description with everything it left open filled in: the name, the folders, the firmware.
  VmConfig config;
  QemuInfo qemu;
  std::string accel;                 ///< "kvm" or "tcg"
  std::vector<std::string> warnings; ///< one line each
  /// QEMU's command line with paths in place of inherited sockets, so that it can be run by hand. Secrets given as text
  /// are omitted.
  std::vector<std::string> command_line;
};

/// Determines whether and how `config` can be launched, as the first step of `Instance::launch`. Starts no VM and
/// changes nothing, but may start QEMU to find out what it supports (once per binary; the answer is cached).
///
/// Throws one `Error` with a line for every problem, naming the value by its path in `vm.json`: `invalid_argument` if
/// any value is invalid, otherwise `not_supported` if this QEMU lacks something, otherwise `not_found` for files. Also
/// throws what `find_qemu` and `probe_qemu` throw. Takes at most 60 s.
asio::awaitable<LaunchPlan> plan_launch(VmConfig config);

} // namespace qemuctl
