// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hotplug/engine.hpp>

#include <asio/awaitable.hpp>

#include <memory>

namespace hotplug {

/// The device API: newline-delimited JSON over a Unix socket, as vhotplug's clients speak it.
///
/// Requests of one connection are answered in their order; a slow one delays no other connection. A client that does
/// not read what it is sent is dropped once 1 MiB is waiting for it, and so is one that sends a line of more than 1
/// MiB.
///
/// Bound to the engine's executor. The engine must outlive it.
class ApiServer {
 public:
  /// Listens. A socket file that nobody answers on is replaced. Throws `qemuctl::Error`: `already_running` when
  /// somebody does, otherwise a system error.
  ApiServer(asio::any_io_executor executor, Engine& engine, ApiConfig config, LogHandler log = {});
  ApiServer(ApiServer&&) noexcept;
  ApiServer& operator=(ApiServer&&) noexcept;
  ~ApiServer(); ///< removes the socket file

  /// Serves until it is cancelled; then ends all connections.
  asio::awaitable<void> run();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

} // namespace hotplug
