// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hotplug/engine.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/steady_timer.hpp>

#include <chrono>
#include <optional>
#include <string_view>

namespace tool {

/// systemd, when it started this program: its journal, the word that the service is ready, and its watchdog. Otherwise
/// only the log, on stderr.
class ServiceManager {
 public:
  ServiceManager();

  /// Keeps the watchdog quiet, if there is one: the only thing that wakes an idle service.
  void start(asio::any_io_executor executor);
  void stop();

  void ready() const;
  void stopping() const;

  /// One line; with the journal's priority when it goes there.
  void log(hotplug::LogLevel level, std::string_view text) const;

 private:
  void feed_watchdog();

  bool journal_ = false;
  std::chrono::microseconds watchdog_{0}; ///< half of its limit; 0: there is none
  std::optional<asio::steady_timer> timer_;
};

} // namespace tool
