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

  LogHandler log;      ///< also of who changed what: lines that begin with "audit:"
  std::string version; ///< of the service
  /// As `ApiConfig::permissions`; clients have the transport "rest". Unset: who may ask at all may do everything.
  std::optional<std::vector<ApiPermission>> permissions;

  /// @name Streams of events
  /// @{
  int max_streams = 64, max_streams_per_address = 16;
  std::chrono::milliseconds quiet_time{10'000};  ///< after which a comment is sent, so that clients know it is alive
  std::chrono::milliseconds keep_events{60'000}; ///< for a client that comes back, when nobody else listens
  /// @}
};

/// The REST API and the web page, over HTTP/1.1; see REST.md.
///
/// Requests are served beside each other. What is asked for in vain is answered with problem details (RFC 9457). A
/// request that takes longer than 15 s to arrive, or an answer that is not read for as long, ends its connection; there
/// are at most 512 of these, 32 for one address.
///
/// Bound to the engine's executor, which has to be that of an `asio::io_context`. The engine must outlive it.
class RestServer {
 public:
  /// Listens. Throws `qemuctl::Error`: `invalid_argument` for a host of the network without a token, and for a file of
  /// tokens that cannot be; otherwise a system error.
  RestServer(asio::any_io_executor executor, Engine& engine, RestConfig config, RestServerOptions options = {});
  RestServer(RestServer&&) noexcept;
  RestServer& operator=(RestServer&&) noexcept;
  ~RestServer();

  /// Serves until it is cancelled; then ends all connections.
  asio::awaitable<void> run();

  /// It is the kernel's choice when `config.port` is 0.
  int port() const noexcept;

  /// Takes another configuration: tokens, permissions, origins, `/api/0` and its templates. Streams of clients who may
  /// see something else now, or whose token has gone, end; the others hear that there is another configuration. `host`
  /// and `port` stay as they are, which is logged when they differ. Throws as the constructor, and then nothing has
  /// changed.
  void reload(RestConfig config, std::optional<std::vector<ApiPermission>> permissions);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

} // namespace hotplug
