// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bounded_queue.hpp"

#include <qemuctl/qmp_client.hpp>

#include <cstddef>
#include <string>
#include <utility>

namespace qemuctl {

/// What a client and one of its subscriptions share.
struct EventSubscription::Queue : detail::BoundedQueue<Event> {
  Queue(asio::any_io_executor executor, EventFilter wanted, std::size_t capacity, std::string client)
      : BoundedQueue(std::move(executor), capacity, "an event", std::move(client)), filter(std::move(wanted)) {}

  /// Pushes the event if it passes the filter.
  void offer(const Event& event) {
    if (!filter || filter(event)) push(event);
  }

  const EventFilter filter;
};

} // namespace qemuctl
