// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/file_descriptor.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/posix/stream_descriptor.hpp>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace qemuctl::detail {

/// How a process ended.
struct ProcessExit {
  std::optional<int> exit_code; ///< both empty: gone, but not our child, so the status is not known
  std::optional<int> signal;
  std::string describe() const; ///< "exit status 1", "killed by signal 9 (Killed)", "gone"
};

struct SpawnOptions {
  std::vector<std::string> argv; ///< argv[0] is the path of the binary
  /// Handed to the child as descriptors 3, 4, 5, ... in this order; nothing else is inherited.
  std::vector<int> inherited;
  int output = -1;         ///< becomes stdout and stderr; -1: /dev/null
  bool new_session = true; ///< setsid, so that signals from the terminal stay away
};

/// The first descriptor number that `SpawnOptions::inherited` gets.
inline constexpr int first_inherited_fd = 3;

/// A process watched through a pidfd: a child, which it also reaps, or any other.
///
/// Bound to one executor. Destroying it neither blocks nor kills. A child that outlives it is reaped by the next
/// `Process::spawn` in this program, so zombies are bounded by the VMs released since.
class Process {
 public:
  /// Starts a child. Throws `std::system_error` if the binary cannot be executed (the error of exec itself).
  static Process spawn(asio::any_io_executor executor, const SpawnOptions& options);

  /// Adopts a child that the caller has forked, as if `spawn` had started it. Throws `std::system_error` after killing
  /// the child.
  static Process adopt(asio::any_io_executor executor, int pid);

  /// Watches a process that is not (or need not be) a child. Throws `std::system_error` (ESRCH) when there is none.
  static Process watch(asio::any_io_executor executor, int pid);

  Process(Process&&) noexcept;
  Process& operator=(Process&&) noexcept;
  ~Process();

  int pid() const noexcept;

  /// Waits for the end; any number of waiters. Returns at once when it has ended. Can be cancelled.
  asio::awaitable<ProcessExit> wait();

  /// The same with a deadline; nullopt when it is still alive then.
  asio::awaitable<std::optional<ProcessExit>> wait_until(std::chrono::steady_clock::time_point deadline);

  /// How it ended, if it has; never blocks.
  std::optional<ProcessExit> poll();

  /// Sends a signal through the pidfd, so it can never hit another process. False if it is gone, or if we may not
  /// signal it.
  bool send_signal(int signal) noexcept;

  struct Impl;

 private:
  explicit Process(std::shared_ptr<Impl> impl) noexcept;
  std::shared_ptr<Impl> impl_;
};

/// Reaps children that ended after their `Process` was destroyed. `Process::spawn` calls it.
/// Thread-safe.
void reap_orphans();

/// The last lines of a log file that were written after `offset`: at most `max_lines` and 4 KiB, control characters
/// replaced, trimmed. Empty when there is nothing.
std::string last_lines(const std::filesystem::path& file, std::uint64_t offset, std::size_t max_lines = 10);

} // namespace qemuctl::detail
