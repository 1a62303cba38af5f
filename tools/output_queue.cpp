// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "output_queue.hpp"

#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <poll.h>
#include <unistd.h>

#include <cerrno>

namespace tool {

OutputQueue::OutputQueue(asio::posix::stream_descriptor& descriptor, std::size_t limit)
    : descriptor_(descriptor), written_(descriptor.get_executor(), asio::steady_timer::time_point::max()),
      limit_(limit) {
  descriptor_.native_non_blocking(true);
}

bool OutputQueue::offer(std::string_view text) {
  if (error_) return true;
  if (waiting_.size() + text.size() > limit_) return false;
  waiting_.append(text);
  write_when_ready();
  return true;
}

asio::awaitable<void> OutputQueue::write(std::string_view data) {
  if (error_) co_return;
  waiting_.append(data);
  write_when_ready();
  while (!waiting_.empty() && !stopped_) {
    std::error_code ignored;
    co_await written_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

void OutputQueue::write_when_ready() {
  // A pending wait means that the descriptor was full a moment ago: it will say when it is not.
  if (is_waiting_) return;
  write_some();
  if (waiting_.empty()) {
    written_.cancel();
    return;
  }
  if (stopped_) return;
  is_waiting_ = true;
  descriptor_.async_wait(asio::posix::stream_descriptor::wait_write, [this](const std::error_code& ec) {
    is_waiting_ = false;
    if (stopped_) return;
    if (ec) fail(ec);
    write_when_ready();
  });
}

void OutputQueue::write_some() {
  std::size_t done = 0;
  while (done < waiting_.size()) {
    const ssize_t n = ::write(descriptor_.native_handle(), waiting_.data() + done, waiting_.size() - done);
    if (n > 0) {
      done += static_cast<std::size_t>(n);
    } else if (n < 0 && errno == EINTR) {
      continue;
    } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      break;
    } else {
      return fail({n < 0 ? errno : EIO, std::generic_category()});
    }
  }
  waiting_.erase(0, done);
}

void OutputQueue::fail(const std::error_code& error) {
  error_ = error;
  waiting_.clear();
}

void OutputQueue::flush(std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  for (write_some(); !waiting_.empty(); write_some()) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return;
    pollfd wait{descriptor_.native_handle(), POLLOUT, 0};
    if (::poll(&wait, 1, static_cast<int>(left.count())) <= 0) return;
  }
}

void OutputQueue::stop_waiting() {
  stopped_ = true;
  std::error_code closed;
  descriptor_.cancel(closed);
  written_.cancel();
}

} // namespace tool
