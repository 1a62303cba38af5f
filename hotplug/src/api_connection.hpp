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
/// Output is written at once as far as the socket accepts it; the rest is queued, up to a limit.
class ApiConnection : public std::enable_shared_from_this<ApiConnection> {
 public:
  static constexpr std::size_t max_line = 1 << 20;
  static constexpr std::size_t max_unread = 1 << 20;

  ApiConnection(ApiSocket connected, Peer who);

  /// The next line, valid until the next call; nullopt: the client has disconnected. Needs little more memory than a
  /// line, whatever the client sends.
  asio::awaitable<std::optional<LineBuffer::Line>> read_line();

  /// Sends an answer, and returns when the client has read enough of the earlier output.
  asio::awaitable<void> answer(std::string line);

  /// Sends an event; closes the connection if more than `max_unread` bytes of events are queued already. Answers do not
  /// count: a large one does not mean that the client has stopped reading.
  void notify(std::string_view line);

  /// Calls it after that time, unless `stop_waiting` is called or the connection ends first.
  void wait(std::chrono::milliseconds time, std::function<void()> then);
  void stop_waiting();

  void close();
  bool over() const noexcept { return over_; }

  Peer peer;
  Rights rights;
  std::optional<Token> shown; ///< the token that it has presented
  bool authenticated = true;  ///< may send requests other than `auth`
  bool listening = false;     ///< has enabled events
  bool dropped = false;       ///< because it did not read

 private:
  /// Reads what has arrived; false: the client has disconnected.
  bool receive();
  void send(std::string_view line, bool event);
  /// Writes what the socket accepts.
  void flush();
  asio::awaitable<void> write();

  ApiSocket socket_;
  LineBuffer incoming_;
  /// The queued output.
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
