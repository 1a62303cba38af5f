// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hotplug/engine.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace hotplug {

struct RestServerOptions {
  RestServerOptions() = default; // no aggregate: see `qemuctl::QmpClientOptions`

  LogHandler log;      ///< also receives the audit trail: lines that begin with "audit:"
  std::string version; ///< of the service, shown to clients
  /// As `ApiConfig::permissions`, with the transport "rest". Unset: every accepted client may do everything.
  std::optional<std::vector<ApiPermission>> permissions;

  /// @name Streams of events
  /// @{
  int max_streams = 64, max_streams_per_address = 16;
  std::chrono::milliseconds quiet_time{10'000};  ///< after which a comment is sent to show that the stream is alive
  std::chrono::milliseconds keep_events{60'000}; ///< for a client that reconnects, when nobody else listens
  /// @}
};

/// The REST API and the web page, over HTTP/1.1; see REST.md.
///
/// Requests are served concurrently. Errors are reported as problem details (RFC 9457). A connection is closed when a
/// request takes longer than 15 s to arrive or a response is not read for as long; there are at most 512 connections,
/// 32 from one address.
///
/// Bound to the engine's executor, which must belong to an `asio::io_context`. The engine must outlive the server.
class RestServer {
 public:
  /// Starts listening. Throws `qemuctl::Error`: `invalid_argument` for a non-local host without a token, and for an
  /// invalid token file; otherwise a system error.
  RestServer(asio::any_io_executor executor, Engine& engine, RestConfig config, RestServerOptions options = {});
  RestServer(RestServer&&) noexcept;
  RestServer& operator=(RestServer&&) noexcept;
  ~RestServer();

  /// Serves until it is cancelled, then closes all connections.
  asio::awaitable<void> run();

  /// The TCP port, chosen by the kernel when `config.port` is 0.
  int port() const noexcept;

  /// Replaces tokens, permissions, origins, `/api/0` and its templates. Event streams whose client now sees other
  /// things, or whose token is gone, are ended; the others receive the event `reload`. `host` and `port` do not change;
  /// a difference is logged as a warning. Throws as the constructor does; nothing has changed then.
  void reload(RestConfig config, std::optional<std::vector<ApiPermission>> permissions);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

} // namespace hotplug
