// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "output_queue.hpp"
#include "raw_terminal.hpp"
#include "standard_stream.hpp"

#include <qemuctl/file_descriptor.hpp>

#include <asio/awaitable.hpp>
#include <asio/posix/stream_descriptor.hpp>

#include <chrono>
#include <functional>
#include <optional>
#include <string_view>
#include <utility>

namespace tool {

/// Connects stdin and stdout to a guest's serial port. A terminal is in raw mode meanwhile and left with Ctrl-].
///
/// The guest's output is taken no faster than stdout takes it. The keyboard is always read, so Ctrl-] works for a guest
/// that is stuck, too; other input is copied as fast as the guest reads, and its end ends nothing.
///
/// Bound to its executor; it must outlive the executor's last run.
class Console {
 public:
  /// Called on the executor.
  struct Handlers {
    std::function<void()> on_leave;                   ///< Ctrl-] was pressed; the console is disconnected
    std::function<void(std::string_view)> on_message; ///< something the user should know
  };

  /// `serial` is a connected socket or an open pty; `output` is stdout's queue and must outlive this.
  Console(const asio::any_io_executor& executor, qemuctl::FileDescriptor serial, OutputQueue& output,
          Handlers handlers);

  /// Begins to copy. Ends by itself when the serial port is closed at the other end.
  void start();

  /// Returns when the serial port is closed and everything from it is written, at most after `timeout`; says whether
  /// it is. Can be cancelled.
  asio::awaitable<bool> wait_until_drained(std::chrono::milliseconds timeout);

  /// Disconnects and puts the terminal back. No handler is called for it.
  void close();

  /// Whether stdin is a terminal, so that Ctrl-] works.
  bool is_interactive() const noexcept { return input_.is_terminal(); }
  /// Whether a terminal is in raw mode now: a line on it then needs carriage returns.
  bool is_raw() const noexcept { return raw_.has_value(); }
  /// What has to be written before a line of our own, so that it does not continue one of the guest's.
  std::string_view begin_line() noexcept { return std::exchange(at_line_start_, true) ? "" : "\r\n"; }
  /// After SIGCONT.
  void restore_raw_mode() noexcept {
    if (raw_) raw_->apply();
  }

 private:
  asio::awaitable<void> copy_output();
  asio::awaitable<void> copy_input();
  bool type(std::string_view keys);

  Handlers handlers_;
  StandardStream input_;
  asio::posix::stream_descriptor serial_;
  OutputQueue to_guest_;
  OutputQueue& output_;
  asio::steady_timer drained_;
  std::optional<RawTerminal> raw_;
  bool at_line_start_ = true; ///< of what the guest has written
  bool is_drained_ = false;
  bool told_of_dropped_input_ = false;
};

} // namespace tool
