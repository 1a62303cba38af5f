// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "wakeup.hpp"

#include <asio/redirect_error.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>

#include <system_error>

namespace qemuctl::detail {

asio::awaitable<void> Wakeup::wait_until(time_point deadline) {
  // A timer per waiter: changing the expiry of a shared one would wake all the others.
  struct Enrolled {
    std::list<asio::steady_timer*>& list;
    std::list<asio::steady_timer*>::iterator self;
    ~Enrolled() { list.erase(self); }
  };
  asio::steady_timer timer(executor_, deadline);
  Enrolled enrolled{waiters_, waiters_.insert(waiters_.end(), &timer)};

  std::error_code ec;
  co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ec));
  const auto cancellation = co_await asio::this_coro::cancellation_state;
  // Not asio::error::operation_aborted: in Asio 1.22 that does not compare equal to std::errc::operation_canceled.
  if (cancellation.cancelled() != asio::cancellation_type::none)
    throw std::system_error(std::make_error_code(std::errc::operation_canceled));
}

void Wakeup::notify() noexcept {
  for (asio::steady_timer* timer : waiters_) {
    try {
      timer->cancel();
    } catch (...) { // never thrown by the Linux reactor; the signature only allows for other platforms
    }
  }
}

Wakeup::time_point deadline_in(std::chrono::milliseconds timeout) noexcept {
  const auto now = std::chrono::steady_clock::now();
  if (timeout >= std::chrono::duration_cast<std::chrono::milliseconds>(Wakeup::time_point::max() - now))
    return Wakeup::time_point::max();
  return now + timeout;
}

} // namespace qemuctl::detail
