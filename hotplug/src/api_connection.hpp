// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "api_access.hpp"
#include "api_listener.hpp"
#include "line_buffer.hpp"
#include "tasks.hpp"
#include "wakeup.hpp"

#include <asio/awaitable.hpp>
#include <asio/steady_timer.hpp>

#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace hotplug::detail {

/// A client of the device API: lines in and out.
///
/// What is to be written is written at once as far as the socket takes it; the rest waits, up to a limit.
class ApiConnection : public std::enable_shared_from_this<ApiConnection> {
 public:
  static constexpr std::size_t max_line = 1 << 20;
  static constexpr std::size_t max_unread = 1 << 20;

  ApiConnection(ApiSocket connected, Peer who);

  /// The next line, valid until the next call; nullopt: the client has gone. Takes little more memory than a line,
  /// whatever the client sends.
  asio::awaitable<std::optional<LineBuffer::Line>> read_line();

  /// Sends an answer, and returns when the client has read enough of what it got before.
  asio::awaitable<void> answer(std::string line);

  /// Sends an event; ends the connection when more than `max_unread` bytes of events wait already. Answers do not
  /// count: one that is large is no sign of a client that does not read.
  void notify(std::string_view line);

  /// Calls that once the time has passed, unless `stop_waiting` or the end of the connection comes first.
  void wait(std::chrono::milliseconds time, std::function<void()> then);
  void stop_waiting();

  void close();
  bool over() const noexcept { return over_; }

  Peer peer;
  Rights rights;
  std::optional<Token> shown; ///< the token it has shown
  bool authenticated = true;  ///< may ask for more than that
  bool listening = false;     ///< wants events
  bool dropped = false;       ///< it did not read

 private:
  /// Reads what is there; false: the client has gone.
  bool receive();
  void send(std::string_view line, bool event);
  /// Writes what the socket takes.
  void flush();
  asio::awaitable<void> write();

  ApiSocket socket_;
  LineBuffer incoming_;
  /// What waits to be written.
  struct Piece {
    std::string text;
    bool event;
  };
  std::deque<Piece> outgoing_;
  std::size_t written_ = 0; ///< of the first piece
  std::size_t unread_ = 0;  ///< of all
  std::size_t unread_events_ = 0;
  asio::steady_timer timer_;
  bool writing_ = false;
  bool over_ = false;
  qemuctl::detail::Wakeup changed_;
  Tasks tasks_;
};

} // namespace hotplug::detail
