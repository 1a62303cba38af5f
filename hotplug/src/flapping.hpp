// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <optional>
#include <string>

namespace hotplug::detail {

/// Finds the devices that come and go all the time: a bad cable, a device that resets itself. Each time one costs its
/// guest a new device, so it is kept out of VMs until it has stayed for a while.
class Flapping {
 public:
  using time_point = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::seconds window{60};
  static constexpr std::chrono::seconds rest{30}; ///< it has to stay that long to be let back

  /// So many arrivals within `window` are usual; mode switches and resets take some. 0: any number is.
  explicit Flapping(std::size_t most_arrivals) : most_arrivals_(most_arrivals) {}

  void allow(std::size_t most_arrivals) { most_arrivals_ = most_arrivals; }

  /// A device has come at that connector. Until when it is kept out; nullopt: it is not.
  std::optional<time_point> arrived(const std::string& connector, time_point now);

 private:
  std::size_t most_arrivals_;
  std::map<std::string, std::deque<time_point>> arrivals_;
};

} // namespace hotplug::detail
