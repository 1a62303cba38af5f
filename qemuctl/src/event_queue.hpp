// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "wakeup.hpp"

#include <qemuctl/qmp_client.hpp>

#include <asio/any_io_executor.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>

namespace qemuctl {

/// What a client and one of its subscriptions share.
struct EventSubscription::Queue {
  Queue(asio::any_io_executor executor, EventFilter wanted, std::size_t limit, std::string client)
      : changed(std::move(executor)), filter(std::move(wanted)), capacity(limit), subject(std::move(client)) {}

  void push(const Event& event);

  std::optional<Event> pop();

  /// No more events will come.
  void close() noexcept {
    closed = true;
    changed.notify();
  }

  detail::Wakeup changed;
  const EventFilter filter;
  const std::size_t capacity;
  const std::string subject; ///< named in errors
  std::deque<Event> events;
  std::uint64_t lost = 0; ///< dropped before the first one of `events`
  bool closed = false;
};

} // namespace qemuctl
