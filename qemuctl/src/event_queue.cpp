// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "event_queue.hpp"

#include "duration_text.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace qemuctl {

namespace {

asio::awaitable<std::optional<Event>> next_event(std::shared_ptr<EventSubscription::Queue> queue,
                                                 std::optional<std::chrono::milliseconds> timeout) {
  if (!queue) co_return std::nullopt;
  const auto deadline = timeout ? detail::deadline_in(*timeout) : detail::Wakeup::time_point::max();
  while (queue->events.empty() && !queue->closed) {
    if (std::chrono::steady_clock::now() >= deadline) {
      Diagnostics diagnostics;
      diagnostics.operation = "wait for an event";
      diagnostics.subject = queue->subject;
      diagnostics.detail = fmt::format("none came within {}", detail::duration_text(*timeout));
      throw Error(errc::timed_out, std::move(diagnostics));
    }
    co_await queue->changed.wait_until(deadline);
  }
  // Taken only now, after the last suspension: who gives up waiting loses nothing.
  co_return queue->pop();
}

} // namespace

void EventSubscription::Queue::push(const Event& event) {
  if (closed || (filter && !filter(event))) return;
  if (events.size() >= capacity) {
    events.pop_front();
    ++lost;
  }
  events.push_back(event);
  changed.notify();
}

std::optional<Event> EventSubscription::Queue::pop() {
  if (events.empty()) return std::nullopt;
  std::optional<Event> event(std::move(events.front()));
  events.pop_front();
  event->lost = std::exchange(lost, 0);
  return event;
}

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
  return next_event(queue_, timeout);
}

std::optional<Event> EventSubscription::try_next() {
  return queue_ ? queue_->pop() : std::nullopt;
}

} // namespace qemuctl
