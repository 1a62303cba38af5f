// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/steady_timer.hpp>

#include <chrono>
#include <list>

namespace qemuctl::detail {

/// A condition variable for the coroutines of one executor: `notify` wakes every coroutine that waits at that moment.
///
/// As with a condition variable, the waiter checks its condition in a loop; wakeups may be spurious.
class Wakeup {
 public:
  using time_point = std::chrono::steady_clock::time_point;

  explicit Wakeup(asio::any_io_executor executor) : executor_(std::move(executor)) {}
  Wakeup(const Wakeup&) = delete;
  Wakeup& operator=(const Wakeup&) = delete;

  /// Suspends until `notify` or until `deadline` has passed. Throws `operation_canceled` when the coroutine is
  /// cancelled. The object must outlive the wait.
  asio::awaitable<void> wait_until(time_point deadline = time_point::max());

  void notify() noexcept;

 private:
  asio::any_io_executor executor_;
  std::list<asio::steady_timer*> waiters_;
};

/// The time `timeout` from now; never overflows.
Wakeup::time_point deadline_in(std::chrono::milliseconds timeout) noexcept;

} // namespace qemuctl::detail
