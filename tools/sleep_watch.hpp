// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>

#include <functional>
#include <memory>
#include <string>

namespace tool {

/// Has something done before the host sleeps, and after, as logind tells it (org.freedesktop.login1.Manager,
/// PrepareForSleep). The host sleeps when `before` has returned, or when logind does not wait any longer
/// (InhibitDelayMaxSec).
///
/// Bound to one executor.
class SleepWatch {
 public:
  struct Handlers {
    std::function<asio::awaitable<void>()> before, after; ///< must not throw, but for being cancelled
    std::function<void(const std::string&)> log;          ///< why it does nothing
    std::function<void(const std::string&)> warn;         ///< of what a person should know
  };
  SleepWatch(asio::any_io_executor executor, Handlers handlers);
  ~SleepWatch();
  SleepWatch(const SleepWatch&) = delete;
  SleepWatch& operator=(const SleepWatch&) = delete;

  /// Until it is cancelled. Returns at once when there is no system bus. Once.
  asio::awaitable<void> run();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

} // namespace tool
