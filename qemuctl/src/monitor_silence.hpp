// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/error.hpp>
#include <qemuctl/monitor_address.hpp>

#include <chrono>
#include <optional>
#include <string>

namespace qemuctl::detail {

/// A monitor that did not answer in time, or whose queue of waiting clients is full.
struct SilentMonitor {
  std::string subject;
  std::optional<MonitorAddress> address; ///< nullopt: a socket pair, which nobody else can reach
  int own_socket = -1;                   ///< our connection, or -1 if it was not established
  std::optional<int> peer_pid;           ///< QEMU, if the socket reveals it
  bool greeted = false;
  bool queue_full = false;
  std::chrono::steady_clock::time_point since; ///< when the waiting began
};

/// The error that explains it: `errc::monitor_in_use` if another client holds the monitor or, as far as can be seen,
/// may hold it; otherwise `errc::timed_out` (a stopped, still initialising or stuck process).
Error explain_silence(const SilentMonitor& monitor);

} // namespace qemuctl::detail
