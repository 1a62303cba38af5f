// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "wakeup.hpp"

#include <qemuctl/file_descriptor.hpp>
#include <qemuctl/monitor_address.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/generic/stream_protocol.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <string>

namespace qemuctl::detail {

using StreamSocket = asio::generic::stream_protocol::socket;

/// An attempt to reach a monitor, which may be abandoned in progress.
struct ConnectAttempt {
  ConnectAttempt(asio::any_io_executor on, std::string what, std::chrono::milliseconds limit)
      : executor(on), changed(on), subject(std::move(what)), timeout(limit) {}

  void abandon() noexcept {
    abandoned = true;
    changed.notify();
  }

  asio::any_io_executor executor;
  Wakeup changed;
  std::string subject; ///< for error messages
  std::chrono::milliseconds timeout;
  bool abandoned = false;
};

/// Connects to where a monitor listens. Throws `Error`: `connect_failed`, `timed_out`, `invalid_argument`,
/// `monitor_in_use` when the kernel's backlog is full, `disconnected` when the peer hung up at once or the
/// attempt was abandoned.
asio::awaitable<StreamSocket> connect_to_monitor(std::shared_ptr<ConnectAttempt> attempt, MonitorAddress address);

/// Takes a connected stream socket. Throws `Error` (`invalid_argument`) for anything else.
StreamSocket adopt_socket(const ConnectAttempt& attempt, FileDescriptor socket);

/// The address the socket is connected to; nullopt for a socket pair and unnamed sockets.
std::optional<MonitorAddress> remote_address(int socket);

bool is_unix_socket(int socket);

/// The process at the other end (SO_PEERCRED): nullopt for TCP, when it is in another PID namespace, and when it is
/// this process, as for a socket pair.
std::optional<int> read_peer_pid(int socket);

} // namespace qemuctl::detail
