// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <asio/awaitable.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>

namespace tool {

/// Writes to a descriptor at once as far as it takes it; the rest waits here, in order. So a reader that is stuck never
/// stops the program.
///
/// Bound to the descriptor's executor, which must not run two handlers at once; the descriptor and this object must
/// outlive its `run`.
class OutputQueue {
 public:
  explicit OutputQueue(asio::posix::stream_descriptor& descriptor, std::size_t limit = 262'144);

  /// Writes or queues all of `text`; refuses it (false) when more than the limit would wait.
  bool offer(std::string_view text);

  /// Writes all of `data` and returns when it is written, or when the reader is gone. Can be cancelled.
  asio::awaitable<void> write(std::string_view data);

  /// Blocks until all is written, at most `timeout`; a signal ends it, too. For the end of a program.
  void flush(std::chrono::milliseconds timeout);

  /// Gives up waiting, so that nothing of this object keeps an `io_context` busy. What waits can still be flushed.
  void stop_waiting();

  bool empty() const noexcept { return waiting_.empty(); }
  /// Why nothing is written any more; no error while all is well. Everything is accepted and dropped then.
  const std::error_code& error() const noexcept { return error_; }

 private:
  void write_some();
  void write_when_ready();
  void fail(const std::error_code& error);

  asio::posix::stream_descriptor& descriptor_;
  asio::steady_timer written_; ///< cancelled when the queue has become empty
  std::string waiting_;
  std::size_t limit_;
  std::error_code error_;
  bool is_waiting_ = false;
  bool stopped_ = false;
};

} // namespace tool
