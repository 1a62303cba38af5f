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
  /// The process that does not end, because the kernel does not let it: what it was to write may still happen.
  std::optional<qemuctl::detail::Process> stuck;
};

/// Writes to files of sysfs, one after the other, in a process of its own: the kernel may keep the writer for as long
/// as a driver takes to let go of a device, and nothing can end it then. After `timeout` it is killed, and when even
/// that does not end it, abandoned.
asio::awaitable<SysfsOutcome> write_sysfs(asio::any_io_executor executor, std::vector<SysfsWrite> writes,
                                          std::chrono::milliseconds timeout);

} // namespace hotplug::detail
