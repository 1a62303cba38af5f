// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "wakeup.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/cancellation_signal.hpp>

#include <exception>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <system_error>

namespace hotplug::detail {

/// What an error says of itself.
std::string what_of(const std::exception_ptr& error);

/// Whether it is what cancelled waits throw: Asio's own and ours say that by different codes.
bool is_cancelled(const std::system_error& error);
bool is_cancelled(const std::exception_ptr& error);

/// Coroutines that belong together: they can be cancelled together, and waited for.
///
/// Bound to one executor. It may be destroyed while they run: they go on until they end.
class Tasks {
 public:
  /// Called with what a task threw, other than by being cancelled.
  using OnError = std::function<void(std::exception_ptr)>;

  Tasks(asio::any_io_executor executor, OnError on_error);
  Tasks(const Tasks&) = delete;
  Tasks& operator=(const Tasks&) = delete;

  void start(asio::awaitable<void> task);
  void cancel();
  asio::awaitable<void> wait_until_empty();

 private:
  struct Shared {
    explicit Shared(const asio::any_io_executor& executor) : ended(executor) {}
    std::list<asio::cancellation_signal> running;
    qemuctl::detail::Wakeup ended;
    OnError on_error;
  };
  asio::any_io_executor executor_;
  std::shared_ptr<Shared> shared_;
};

} // namespace hotplug::detail
