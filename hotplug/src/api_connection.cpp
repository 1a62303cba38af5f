// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "api_connection.hpp"

#include <asio/ip/tcp.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

namespace hotplug::detail {

namespace {

/// A client with more than this before it is not asked for its next request.
constexpr std::size_t enough_unread = 256 << 10;
/// Small messages are put together up to that, so that they are written at once.
constexpr std::size_t enough_together = 64 << 10;

} // namespace

ApiConnection::ApiConnection(ApiSocket connected, Peer who)
    : peer(std::move(who)), socket_(std::move(connected)), incoming_(max_line), timer_(socket_.get_executor()),
      changed_(socket_.get_executor()), tasks_(socket_.get_executor(), {}) {
  std::error_code ignored;
  socket_.non_blocking(true, ignored);
  // Notices after a while that a remote host has vanished.
  if (peer.transport != "tcp") return;
  socket_.set_option(asio::socket_base::keep_alive(true), ignored);
  // Events do not wait for the acknowledgement of earlier data.
  socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
}

asio::awaitable<std::optional<LineBuffer::Line>> ApiConnection::read_line() {
  const auto self = shared_from_this();
  for (;;) {
    if (over_) co_return std::nullopt;
    const std::optional<LineBuffer::Line> line = incoming_.next();
    if (line) co_return line;
    std::error_code ec;
    co_await socket_.async_wait(ApiSocket::wait_read, asio::redirect_error(asio::use_awaitable, ec));
    if (ec || !receive()) co_return std::nullopt;
  }
}

bool ApiConnection::receive() {
  std::array<char, 16 << 10> bytes;
  const ssize_t size = ::recv(socket_.native_handle(), bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (size < 0) return errno == EAGAIN || errno == EINTR;
  incoming_.append(std::string_view(bytes.data(), static_cast<std::size_t>(size)));
  return size > 0;
}

asio::awaitable<void> ApiConnection::answer(std::string line) {
  const auto self = shared_from_this();
  send(line, false);
  while (!over_ && unread_ > enough_unread) co_await changed_.wait_until();
}

void ApiConnection::notify(std::string_view line) {
  if (over_) return;
  if (unread_events_ > max_unread) {
    dropped = true;
    close();
    return;
  }
  send(line, true);
}

void ApiConnection::wait(std::chrono::milliseconds time, std::function<void()> then) {
  timer_.expires_after(time);
  timer_.async_wait([self = weak_from_this(), then = std::move(then)](std::error_code ec) {
    const auto alive = self.lock();
    if (!ec && alive && !alive->over_) then();
  });
}

void ApiConnection::stop_waiting() {
  timer_.cancel();
}

void ApiConnection::close() {
  if (std::exchange(over_, true)) return;
  std::error_code ignored;
  socket_.shutdown(ApiSocket::shutdown_both, ignored); // ends its reader, and that the rest
  tasks_.cancel();
  timer_.cancel();
  changed_.notify();
}

void ApiConnection::send(std::string_view line, bool event) {
  if (over_) return;
  if (outgoing_.empty() || outgoing_.back().event != event || outgoing_.back().text.size() > enough_together)
    outgoing_.push_back({std::string(), event});
  outgoing_.back().text += line;
  unread_ += line.size();
  if (event) unread_events_ += line.size();
  if (writing_) return; // the socket is full
  flush();
  if (over_ || outgoing_.empty()) return;
  writing_ = true;
  tasks_.start(write());
}

void ApiConnection::flush() {
  while (!outgoing_.empty()) {
    const Piece& first = outgoing_.front();
    const ssize_t size = ::send(socket_.native_handle(), first.text.data() + written_, first.text.size() - written_,
                                MSG_DONTWAIT | MSG_NOSIGNAL);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) {
      if (errno != EAGAIN) close();
      return;
    }
    written_ += static_cast<std::size_t>(size);
    unread_ -= static_cast<std::size_t>(size);
    if (first.event) unread_events_ -= static_cast<std::size_t>(size);
    if (written_ < first.text.size()) continue;
    outgoing_.pop_front();
    written_ = 0;
  }
  std::deque<Piece>().swap(outgoing_); // gives its memory back
}

asio::awaitable<void> ApiConnection::write() {
  const auto self = shared_from_this();
  while (!over_ && !outgoing_.empty()) {
    std::error_code ec;
    co_await socket_.async_wait(ApiSocket::wait_write, asio::redirect_error(asio::use_awaitable, ec));
    if (ec || over_) break;
    flush();
    changed_.notify();
  }
  writing_ = false;
}

} // namespace hotplug::detail
