// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "console.hpp"

#include <asio/buffer.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <unistd.h>

#include <array>
#include <utility>

namespace tool {

namespace {

constexpr char leave_key = 0x1d; // Ctrl-], as telnet has it
constexpr std::size_t max_typed_ahead = std::size_t{1} << 20;

asio::posix::stream_descriptor own(const asio::any_io_executor& executor, qemuctl::FileDescriptor fd) {
  asio::posix::stream_descriptor descriptor(executor, fd.get());
  static_cast<void>(fd.release());
  return descriptor;
}

} // namespace

Console::Console(const asio::any_io_executor& executor, qemuctl::FileDescriptor serial, OutputQueue& output,
                 Handlers handlers)
    : handlers_(std::move(handlers)), input_(executor, STDIN_FILENO), serial_(own(executor, std::move(serial))),
      to_guest_(serial_, max_typed_ahead), output_(output), drained_(executor, asio::steady_timer::time_point::max()) {}

void Console::start() {
  if (input_.is_terminal()) raw_.emplace(STDIN_FILENO);
  const auto executor = serial_.get_executor();
  asio::co_spawn(executor, copy_output(), [this](const std::exception_ptr&) {
    close();
    is_drained_ = true;
    drained_.cancel();
  });
  asio::co_spawn(executor, copy_input(), asio::detached);
}

asio::awaitable<void> Console::copy_output() {
  std::array<char, 16'384> buffer;
  for (;;) {
    std::error_code ec;
    const std::size_t n =
        co_await serial_.async_read_some(asio::buffer(buffer), asio::redirect_error(asio::use_awaitable, ec));
    if (ec) co_return;
    at_line_start_ = buffer[n - 1] == '\n';
    co_await output_.write({buffer.data(), n});
  }
}

asio::awaitable<void> Console::copy_input() {
  std::array<char, 4'096> buffer;
  for (;;) {
    std::error_code ec;
    const std::size_t n = co_await input_.descriptor().async_read_some(asio::buffer(buffer),
                                                                       asio::redirect_error(asio::use_awaitable, ec));
    if (ec) co_return;
    const std::string_view data(buffer.data(), n);
    if (!input_.is_terminal()) {
      co_await to_guest_.write(data);
    } else if (!type(data)) {
      close();
      handlers_.on_leave();
      co_return;
    }
  }
}

/// False when the user wants to leave.
bool Console::type(std::string_view keys) {
  const std::size_t end = keys.find(leave_key);
  if (!to_guest_.offer(keys.substr(0, end)) && !std::exchange(told_of_dropped_input_, true))
    handlers_.on_message("the guest does not read what you type; it is dropped");
  return end == std::string_view::npos;
}

asio::awaitable<bool> Console::wait_until_drained(std::chrono::milliseconds timeout) {
  if (is_drained_) co_return true;
  drained_.expires_after(timeout);
  std::error_code ec;
  co_await drained_.async_wait(asio::redirect_error(asio::use_awaitable, ec));
  co_return is_drained_;
}

void Console::close() {
  raw_.reset();
  to_guest_.stop_waiting();
  std::error_code ignored;
  input_.descriptor().close(ignored);
  serial_.close(ignored);
}

} // namespace tool
