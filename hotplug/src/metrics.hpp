// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rest_resources.hpp"

#include <hotplug/notification.hpp>
#include <hotplug/state.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hotplug::detail {

/// Metrics since the start of the service, for Prometheus.
class Metrics {
 public:
  using time_point = std::chrono::steady_clock::time_point;

  void count(const Notification& notification);
  /// A request was answered with a problem of that class: "not-found".
  void count_failure(std::string_view name);
  /// Counts attaches and detaches since the last call, and measures how long devices took while their VM could take
  /// them; to be called whenever a device may have changed. A device that is in a VM when it is first seen, or that
  /// something else attached, does not count as an attach.
  void observe(const std::vector<VmState>& vms, const std::vector<DeviceState>& devices, time_point now);

  /// All of it, and what is there now, in Prometheus' text format.
  std::string text(const std::vector<VmState>& vms, const std::vector<DeviceState>& devices) const;

 private:
  void measure(std::chrono::duration<double> time);

  static constexpr std::array<double, 10> limits{0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300}; ///< seconds

  /// Where a device was.
  struct Seen {
    Seen() = default; // no aggregate: see `qemuctl::QmpClientOptions`

    std::string kind;
    std::optional<std::string> vm;        ///< that has it by our doing
    std::optional<time_point> on_its_way; ///< since when
  };

  std::map<std::string, std::uint64_t> attached_, detached_; ///< by kind
  std::map<std::pair<std::string, ProblemKind>, std::uint64_t> failed_;
  std::map<std::string, std::uint64_t, std::less<>> problems_; ///< by class
  std::map<std::string, Seen> seen_;                           ///< by path in sysfs
  std::array<std::uint64_t, limits.size()> within_{};          ///< attached in at most that time
  std::uint64_t measured_ = 0;
  double seconds_ = 0;
};

} // namespace hotplug::detail
