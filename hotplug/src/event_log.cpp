// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "event_log.hpp"

#include <fmt/format.h>

#include <charconv>
#include <utility>

namespace hotplug::detail {

namespace {

/// As much as is written to a client at a time.
constexpr std::size_t enough_at_once = 64 << 10;

} // namespace

EventLog::EventLog(std::string epoch, std::size_t max_events, std::size_t max_bytes)
    : epoch_(std::move(epoch)), max_events_(max_events), max_bytes_(max_bytes) {}

void EventLog::add(std::string_view type, const qemuctl::Json& data) {
  events_.push_back(single(type, data, end() + 1));
  bytes_ += events_.back().size();
  while (events_.size() > max_events_ || (bytes_ > max_bytes_ && events_.size() > 1)) {
    bytes_ -= events_.front().size();
    events_.pop_front();
    ++first_;
  }
}

std::optional<std::uint64_t> EventLog::after(std::string_view id) const {
  if (!id.starts_with(epoch_ + "-")) return std::nullopt;
  id.remove_prefix(epoch_.size() + 1);
  std::uint64_t position = 0;
  const auto [rest, error] = std::from_chars(id.data(), id.data() + id.size(), position);
  if (error != std::errc() || rest != id.data() + id.size()) return std::nullopt;
  if (position + 1 < first_ || position >= end()) return std::nullopt;
  return position + 1;
}

std::optional<std::string> EventLog::read(std::uint64_t& position) const {
  if (position < first_) return std::nullopt;
  std::string text;
  while (position < end() && text.size() < enough_at_once)
    text += events_[static_cast<std::size_t>(position++ - first_)];
  return text;
}

std::string EventLog::single(std::string_view type, const qemuctl::Json& data, std::uint64_t position) const {
  return fmt::format("id: {}-{}\nevent: {}\ndata: {}\n\n", epoch_, position - 1, type, data.dump());
}

} // namespace hotplug::detail
