// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "api_connection.hpp"

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

} // namespace

ApiConnection::ApiConnection(ApiSocket connected, Peer who)
    : peer(std::move(who)), socket_(std::move(connected)), incoming_(max_line), changed_(socket_.get_executor()),
      tasks_(socket_.get_executor(), {}) {
  std::error_code ignored;
  socket_.non_blocking(true, ignored);
  // A host of the network that is gone without a word is noticed some time.
  if (peer.transport == "tcp") socket_.set_option(asio::socket_base::keep_alive(true), ignored);
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
  send(line);
  while (!over_ && outgoing_.size() - written_ > enough_unread) co_await changed_.wait_until();
}

void ApiConnection::notify(std::string_view line) {
  if (over_) return;
  if (outgoing_.size() - written_ > max_unread) {
    dropped = true;
    close();
    return;
  }
  send(line);
}

void ApiConnection::close() {
  if (std::exchange(over_, true)) return;
  std::error_code ignored;
  socket_.shutdown(ApiSocket::shutdown_both, ignored); // ends its reader, and that the rest
  tasks_.cancel();
  changed_.notify();
}

void ApiConnection::send(std::string_view line) {
  if (over_) return;
  outgoing_ += line;
  if (writing_) return; // the socket is full
  flush();
  if (over_ || outgoing_.empty()) return;
  writing_ = true;
  tasks_.start(write());
}

void ApiConnection::flush() {
  while (written_ < outgoing_.size()) {
    const ssize_t size = ::send(socket_.native_handle(), outgoing_.data() + written_, outgoing_.size() - written_,
                                MSG_DONTWAIT | MSG_NOSIGNAL);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) {
      if (errno != EAGAIN) close();
      break;
    }
    written_ += static_cast<std::size_t>(size);
  }
  // What was written is thrown away once it is as much as what was not.
  if (written_ * 2 >= outgoing_.size()) {
    outgoing_.erase(0, written_);
    written_ = 0;
  }
  if (outgoing_.empty()) std::string().swap(outgoing_);
}

asio::awaitable<void> ApiConnection::write() {
  const auto self = shared_from_this();
  while (!over_ && written_ < outgoing_.size()) {
    std::error_code ec;
    co_await socket_.async_wait(ApiSocket::wait_write, asio::redirect_error(asio::use_awaitable, ec));
    if (ec || over_) break;
    flush();
    changed_.notify();
  }
  writing_ = false;
}

} // namespace hotplug::detail
