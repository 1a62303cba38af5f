// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "duration_text.hpp"
#include "wakeup.hpp"

#include <qemuctl/error.hpp>

#include <algorithm>
#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace qemuctl::detail {

/// The queue behind a subscription, between one producer and one consumer on one executor.
///
/// When it is full the oldest item is dropped and the one behind it counts the loss in its member `lost`, so the
/// consumer learns of it with the very next item.
template<class T>
class BoundedQueue {
 public:
  using Item = T;

  /// `item_name` and `subject` are for errors: what is waited for, and from whom.
  BoundedQueue(asio::any_io_executor executor, std::size_t capacity, std::string item_name, std::string subject)
      : wakeup_(std::move(executor)), capacity_(std::max<std::size_t>(capacity, 1)), item_name_(std::move(item_name)),
        subject_(std::move(subject)) {}

  void push(Item item) {
    if (closed_) return;
    std::uint64_t lost = 0;
    if (items_.size() == capacity_) {
      lost = items_.front().lost + 1;
      items_.pop_front();
    }
    items_.push_back(std::move(item));
    items_.front().lost += lost;
    wakeup_.notify();
  }

  /// Accepts no more items; those queued are still delivered.
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

  /// Suspends until there is an item or the queue is closed. Throws `errc::timed_out`.
  asio::awaitable<void> wait(std::optional<std::chrono::milliseconds> timeout) {
    const auto deadline = timeout ? deadline_in(*timeout) : Wakeup::time_point::max();
    while (items_.empty() && !closed_) {
      if (std::chrono::steady_clock::now() >= deadline) {
        Diagnostics diagnostics;
        diagnostics.operation = "wait for " + item_name_;
        diagnostics.subject = subject_;
        diagnostics.detail = "none came within " + duration_text(*timeout);
        throw Error(errc::timed_out, std::move(diagnostics));
      }
      co_await wakeup_.wait_until(deadline);
    }
  }

 private:
  Wakeup wakeup_;
  const std::size_t capacity_;
  const std::string item_name_, subject_;
  std::deque<Item> items_;
  bool closed_ = false;
};

/// The next item of a queue, which it keeps alive; nullopt once the queue is closed and empty, or if there is no queue.
/// The item is removed after the last suspension, so an abandoned or cancelled wait loses nothing.
template<class Queue>
asio::awaitable<std::optional<typename Queue::Item>> next_item(std::shared_ptr<Queue> queue,
                                                               std::optional<std::chrono::milliseconds> timeout) {
  if (!queue) co_return std::nullopt;
  co_await queue->wait(timeout);
  co_return queue->try_next();
}

} // namespace qemuctl::detail
