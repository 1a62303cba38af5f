// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hotplug/engine.hpp>

#include <asio/awaitable.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <string>

namespace hotplug {

struct ApiServerOptions {
  ApiServerOptions() = default; // no aggregate: see `qemuctl::QmpClientOptions`

  LogHandler log;                   ///< also receives the audit trail: lines that begin with "audit:"
  std::function<void()> reload;     ///< handles the request `reload`; may throw `qemuctl::Error`. Default: refused
  std::string ovmf_code, ovmf_vars; ///< see `GeneralConfig`
  std::string version;              ///< the answer to the request `version`
  /// How long a TCP client has to present its token.
  std::chrono::milliseconds time_to_authenticate{10'000};
};

/// The device API: newline-delimited JSON over Unix sockets, TCP and VSOCK, compatible with vhotplug's clients; see
/// API.md.
///
/// Requests on one connection are answered in order; a slow one does not delay other connections. A client that does
/// not read is dropped once 1 MiB of events is queued for it; responses wait until it reads. Lines are limited to
/// 1 MiB.
///
/// Bound to the engine's executor. The engine must outlive the server.
class ApiServer {
 public:
  /// Listens on each of `config.transports`. A stale socket file is replaced. Throws `qemuctl::Error`:
  /// `already_running` when somebody listens on it; `invalid_argument` for a non-local host without a token or
  /// `allow_unauthenticated`, and for an invalid token file; otherwise a system error.
  ApiServer(asio::any_io_executor executor, Engine& engine, ApiConfig config, ApiServerOptions options = {});
  ApiServer(ApiServer&&) noexcept;
  ApiServer& operator=(ApiServer&&) noexcept;
  ~ApiServer(); ///< removes the socket file

  /// Serves until it is cancelled, then closes all connections.
  asio::awaitable<void> run();

  /// The TCP port, chosen by the kernel when `config.port` is 0; 0 without TCP.
  int tcp_port() const noexcept;

  /// Replaces permissions, tokens (the file is read again), CIDs and limits. They apply to open connections at once;
  /// connections that would now be refused are closed. Listening addresses do not change; a difference is logged as a
  /// warning. Throws as the constructor does; nothing has changed then.
  void reload(ApiConfig config);

  /// Sends the event `config_reloaded`, after the response to the client that requested the reload.
  void announce_reload();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

} // namespace hotplug
