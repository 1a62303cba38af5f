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
  bool may_fail = false; ///< goes on with the next one
};

/// How a sequence of writes ended.
struct SysfsOutcome {
  std::string problem; ///< empty: all were done
  bool in_use = false; ///< of a probe: the problem is that the kernel uses one of them
  /// The process that does not end, because the kernel does not let it: what it was to write may still happen.
  std::optional<qemuctl::detail::Process> stuck;
};

/// Writes to files of sysfs, one after the other, in a process of its own: the kernel may keep the writer for as long
/// as a driver takes to let go of a device, and nothing can end it then. After `timeout` it is killed, and when even
/// that does not end it, abandoned.
asio::awaitable<SysfsOutcome> write_sysfs(asio::any_io_executor executor, std::vector<SysfsWrite> writes,
                                          std::chrono::milliseconds timeout);

/// Whether the kernel uses one of these block devices ("/dev/sdb1"): for a file system, in whatever namespace it is
/// mounted, for swap space, for what is built on it. In a process likewise, because a disk that is broken may not
/// answer.
asio::awaitable<SysfsOutcome> probe_block_devices(asio::any_io_executor executor, std::vector<std::string> nodes,
                                                  std::chrono::milliseconds timeout);

} // namespace hotplug::detail
