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

/// The message of an error.
std::string what_of(const std::exception_ptr& error);

/// Whether a cancelled wait threw it: Asio and this library use different codes.
bool is_cancelled(const std::system_error& error);
bool is_cancelled(const std::exception_ptr& error);

/// A group of coroutines that can be cancelled and waited for together.
///
/// Bound to one executor. May be destroyed while they run; they then continue to their end.
class Tasks {
 public:
  /// Called with the exception of a task, unless it was cancelled.
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
