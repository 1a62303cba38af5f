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

  LogHandler log;                   ///< also of who changed what: lines that begin with "audit:"
  std::function<void()> reload;     ///< for the request of that name; may throw `qemuctl::Error`. Default: refused
  std::string ovmf_code, ovmf_vars; ///< see `GeneralConfig`
  std::string version;              ///< what the request of that name is answered
  /// How long a client of TCP has to show its token.
  std::chrono::milliseconds time_to_authenticate{10'000};
};

/// The device API: newline-delimited JSON over Unix sockets, TCP and VSOCK, as vhotplug's clients speak it, and more;
/// see API.md.
///
/// Requests of one connection are answered in their order; a slow one delays no other connection. A client that does
/// not read what it is told is dropped once 1 MiB of events is waiting for it; answers wait until it reads. A line has
/// at most 1 MiB.
///
/// Bound to the engine's executor. The engine must outlive it.
class ApiServer {
 public:
  /// Listens on each of `config.transports`. A socket file that nobody answers on is replaced. Throws `qemuctl::Error`:
  /// `already_running` when somebody does; `invalid_argument` for a host of the network without a token or
  /// `allow_unauthenticated`, and for a file of tokens that cannot be; otherwise a system error.
  ApiServer(asio::any_io_executor executor, Engine& engine, ApiConfig config, ApiServerOptions options = {});
  ApiServer(ApiServer&&) noexcept;
  ApiServer& operator=(ApiServer&&) noexcept;
  ~ApiServer(); ///< removes the socket file

  /// Serves until it is cancelled; then ends all connections.
  asio::awaitable<void> run();

  /// The port of TCP; 0: there is none. It is the kernel's choice when `config.port` is 0.
  int tcp_port() const noexcept;

  /// Takes other permissions, tokens (which are read again), CIDs and limits. Open connections have the new rights from
  /// now on; those that would be refused now are closed. Where it listens stays as it is; what is different there is
  /// named in a warning. Throws as the constructor, and then nothing has changed.
  void reload(ApiConfig config);

  /// Tells those who listen that the service has another configuration now; whoever asked for it gets the answer first.
  void announce_reload();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

} // namespace hotplug
