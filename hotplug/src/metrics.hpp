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
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hotplug::detail {

/// What has been counted since the service began, for Prometheus.
class Metrics {
 public:
  using time_point = std::chrono::steady_clock::time_point;

  void count(const Notification& notification);
  /// A request was answered with a problem of that class: "not-found".
  void count_failure(std::string_view name);
  /// Measures how long devices are on their way into their VMs; to be called whenever one may have changed.
  void observe(const std::vector<DeviceState>& devices, time_point now);

  /// All of it, and what is there now, in Prometheus' text format.
  std::string text(const std::vector<VmState>& vms, const std::vector<DeviceState>& devices) const;

 private:
  static constexpr std::array<double, 10> limits{0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300}; ///< seconds

  std::map<std::string, std::uint64_t> attached_, detached_; ///< by kind
  std::map<std::pair<std::string, ProblemKind>, std::uint64_t> failed_;
  std::map<std::string, std::uint64_t, std::less<>> problems_; ///< by class
  std::map<std::string, time_point> on_the_way_;               ///< by path in sysfs: since when
  std::array<std::uint64_t, limits.size()> within_{};          ///< attached in at most that time
  std::uint64_t measured_ = 0;
  double seconds_ = 0;
};

} // namespace hotplug::detail
