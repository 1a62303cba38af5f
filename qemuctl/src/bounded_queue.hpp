// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "wakeup.hpp"

#include <qemuctl/error.hpp>

#include <algorithm>
#include <chrono>
#include <deque>
#include <optional>
#include <string>
#include <utility>

namespace qemuctl::detail {

/// The queue behind a subscription, between one producer and one consumer on one executor.
///
/// When it is full the oldest item gives way and the one behind it counts the loss in its member `lost`, so a consumer
/// learns of it with the very next item.
template<class Item>
class BoundedQueue {
 public:
  BoundedQueue(asio::any_io_executor executor, std::size_t capacity)
      : wakeup_(std::move(executor)), capacity_(std::max<std::size_t>(capacity, 1)) {}

  void push(Item item) {
    std::uint64_t lost = 0;
    if (items_.size() == capacity_) {
      lost = items_.front().lost + 1;
      items_.pop_front();
    }
    items_.push_back(std::move(item));
    items_.front().lost += lost;
    wakeup_.notify();
  }

  /// Nothing will be pushed any more; what is queued is still delivered.
  void close() noexcept {
    closed_ = true;
    wakeup_.notify();
  }

  std::optional<Item> try_next() {
    if (items_.empty()) return std::nullopt;
    std::optional<Item> item(std::move(items_.front()));
    items_.pop_front();
    return item;
  }

  /// The next item; nullopt when the queue is closed and empty. Throws `errc::timed_out`, saying what was waited for.
  asio::awaitable<std::optional<Item>> next(std::optional<std::chrono::milliseconds> timeout, std::string waiting_for) {
    const auto deadline = timeout ? deadline_in(*timeout) : Wakeup::time_point::max();
    while (items_.empty() && !closed_) {
      if (std::chrono::steady_clock::now() >= deadline) {
        Diagnostics diagnostics;
        diagnostics.operation = "wait for " + waiting_for;
        diagnostics.detail = "none came within " + std::to_string(timeout->count()) + " ms";
        throw Error(errc::timed_out, std::move(diagnostics));
      }
      co_await wakeup_.wait_until(deadline);
    }
    co_return try_next();
  }

 private:
  Wakeup wakeup_;
  std::size_t capacity_;
  std::deque<Item> items_;
  bool closed_ = false;
};

} // namespace qemuctl::detail
