// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/qemu_info.hpp>
#include <qemuctl/vm_config.hpp>

#include <asio/awaitable.hpp>

#include <string>
#include <vector>

namespace qemuctl {

/// What a launch is going to do.
struct LaunchPlan {
  /// The description with everything filled in that it left open: the name, the folders, the firmware that was found.
  VmConfig config;
  QemuInfo qemu;
  std::string accel;                 ///< "kvm" or "tcg"
  std::vector<std::string> warnings; ///< one line each
  /// QEMU's command line with paths in place of the sockets that a launcher hands over, so that a person can run it.
  /// Secrets given as text are not in it.
  std::vector<std::string> command_line;
};

/// Finds out whether and how `config` can be launched; `Instance::launch` begins with it. Starts no VM and changes
/// nothing, but may start QEMU to see what it can do (once for each binary, the answer is remembered).
///
/// Throws one `Error` with a line for everything that is wrong, each naming the value as a path in `vm.json`:
/// `invalid_argument` when one of them cannot be right, otherwise `not_supported` when this QEMU does not have it,
/// otherwise `not_found` for files. Besides what `find_qemu` and `probe_qemu` throw. Takes at most 60 s.
asio::awaitable<LaunchPlan> plan_launch(VmConfig config);

} // namespace qemuctl
