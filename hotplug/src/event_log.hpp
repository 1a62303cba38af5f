// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/json.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

namespace hotplug::detail {

/// The latest server-sent events, as they are written to clients. Independent of connections.
///
/// Each event has a position, which is part of its id: "EPOCH-POSITION". The epoch differs between runs of the service.
class EventLog {
 public:
  EventLog(std::string epoch, std::size_t max_events, std::size_t max_bytes);

  void add(std::string_view type, const qemuctl::Json& data);
  /// The position of the next event.
  std::uint64_t end() const noexcept { return first_ + events_.size(); }
  /// Where to resume for a client that has read up to that id; nullopt: what followed has been dropped, or the id is
  /// not one of this run.
  std::optional<std::uint64_t> after(std::string_view id) const;
  /// The events from there on, some of them when they are many, and sets `position` behind them. nullopt: what came
  /// there is not here any more.
  std::optional<std::string> read(std::uint64_t& position) const;
  /// An event that is for one client alone; its id is that of the event before `position`.
  std::string single(std::string_view type, const qemuctl::Json& data, std::uint64_t position) const;

 private:
  std::string epoch_;
  std::size_t max_events_, max_bytes_;
  std::uint64_t first_ = 1;
  std::deque<std::string> events_;
  std::size_t bytes_ = 0;
};

} // namespace hotplug::detail
