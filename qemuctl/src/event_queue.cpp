// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "event_queue.hpp"

#include <algorithm>

namespace qemuctl {

EventFilter events_named(std::vector<std::string> names) {
  return [names = std::move(names)](const Event& event) {
    return std::find(names.begin(), names.end(), event.name) != names.end();
  };
}

EventSubscription::EventSubscription() noexcept = default;

EventSubscription::EventSubscription(std::shared_ptr<Queue> queue) noexcept : queue_(std::move(queue)) {}

EventSubscription::EventSubscription(EventSubscription&&) noexcept = default;

EventSubscription& EventSubscription::operator=(EventSubscription&& other) noexcept {
  if (this != &other) {
    if (queue_) queue_->close();
    queue_ = std::move(other.queue_);
  }
  return *this;
}

EventSubscription::~EventSubscription() {
  if (queue_) queue_->close();
}

asio::awaitable<std::optional<Event>> EventSubscription::next(std::optional<std::chrono::milliseconds> timeout) {
  return detail::next_item(queue_, timeout);
}

std::optional<Event> EventSubscription::try_next() {
  return queue_ ? queue_->try_next() : std::nullopt;
}

} // namespace qemuctl
