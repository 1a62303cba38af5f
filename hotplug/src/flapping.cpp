// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "flapping.hpp"

namespace hotplug::detail {

std::optional<Flapping::time_point> Flapping::arrived(const std::string& connector, time_point now) {
  if (most_arrivals_ == 0) return std::nullopt;
  std::erase_if(arrivals_, [&](const auto& entry) { return entry.second.back() < now - window; });
  std::deque<time_point>& times = arrivals_[connector];
  times.push_back(now);
  while (times.front() < now - window || times.size() > most_arrivals_ + 1) times.pop_front();
  if (times.size() <= most_arrivals_) return std::nullopt;
  return now + rest;
}

} // namespace hotplug::detail
