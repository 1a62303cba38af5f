// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "discovery.hpp"

#include <qemuctl/monitor_address.hpp>

#include <optional>

namespace qemuctl::detail {

/// What the kernel's socket tables say about who talks to a monitor.
struct MonitorUse {
  enum class Served {
    unknown,  ///< the tables do not show this monitor: another network namespace or machine
    nobody,   ///< nobody but, perhaps, us
    a_client, ///< another client
  };
  Served served = Served::unknown;
  /// That client's process, if its descriptors can be read.
  std::optional<MonitorHolder> holder;
  /// Whether the monitor's process has accepted our connection, or left it in the queue.
  std::optional<bool> accepted_us;
  /// The process that listens, for TCP (Unix sockets have SO_PEERCRED).
  std::optional<int> server_pid;
};

/// Inspects the monitor at `address`, to which our connection `own_socket` leads (-1: none). Never blocks; what cannot
/// be read is omitted.
MonitorUse inspect_monitor_use(const MonitorAddress& address, int own_socket);

} // namespace qemuctl::detail
