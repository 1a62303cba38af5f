// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <optional>
#include <string>

namespace hotplug::detail {

/// Detects devices that appear and vanish all the time because of a bad cable or resets. Each time the guest gets a new
/// device, so they are kept out of VMs until they have stayed for a while.
class Flapping {
 public:
  using time_point = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::seconds window{60};
  static constexpr std::chrono::seconds rest{30}; ///< how long it has to stay to be attached again

  /// Up to this many arrivals within `window` are normal, because mode switches and resets need some. 0: no limit.
  explicit Flapping(std::size_t most_arrivals) : most_arrivals_(most_arrivals) {}

  void allow(std::size_t most_arrivals) { most_arrivals_ = most_arrivals; }

  /// Records an arrival at that connector; returns until when to keep the device out, if at all.
  std::optional<time_point> arrived(const std::string& connector, time_point now);

 private:
  std::size_t most_arrivals_;
  std::map<std::string, std::deque<time_point>> arrivals_;
};

} // namespace hotplug::detail
