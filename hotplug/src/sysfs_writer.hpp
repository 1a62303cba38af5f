// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "process.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace hotplug::detail {

struct SysfsWrite {
  std::string file, text;
  bool may_fail = false; ///< continue with the next write
};

/// How a sequence of writes ended.
struct SysfsOutcome {
  std::string problem; ///< empty: everything was written
  bool in_use = false; ///< of a probe: the kernel uses one of the devices
  /// A helper that hangs in the kernel; its write may still take effect.
  std::optional<qemuctl::detail::Process> stuck;
};

/// Writes to files in sysfs, one after the other, in a helper process: the kernel may block the writer for as long as a
/// driver takes to release a device, and nothing can interrupt it then. After `timeout` it is killed and, if that has
/// no effect, abandoned.
asio::awaitable<SysfsOutcome> write_sysfs(asio::any_io_executor executor, std::vector<SysfsWrite> writes,
                                          std::chrono::milliseconds timeout);

/// Whether the kernel uses one of these block devices ("/dev/sdb1"): for a file system in any mount namespace, for swap
/// space, or for a device built on it. Also in a helper process, because a broken disk may not answer.
asio::awaitable<SysfsOutcome> probe_block_devices(asio::any_io_executor executor, std::vector<std::string> nodes,
                                                  std::chrono::milliseconds timeout);

} // namespace hotplug::detail
