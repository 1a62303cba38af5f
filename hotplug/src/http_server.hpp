// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "http_message.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace hotplug::detail {

/// An answer that has begun and goes on. Bound to the server's executor.
class HttpStream {
 public:
  virtual ~HttpStream() = default;
  /// Sends some of it. `done` is called later, with false when the client has gone; the next piece is to wait for it.
  virtual void write(std::string bytes, std::function<void(bool)> done) = 0;
  /// Ends it.
  virtual void end() = 0;
};

/// A request and the way to answer it, to be used once. Bound to the server's executor.
class HttpExchange {
 public:
  virtual ~HttpExchange() = default;
  virtual const HttpRequest& request() const noexcept = 0;
  virtual void respond(HttpResponse response) = 0;
  /// Answers with a stream instead; `head` has no body.
  virtual std::shared_ptr<HttpStream> begin(HttpResponse head) = 0;
};

struct HttpServerOptions {
  HttpServerOptions() = default; // no aggregate: see `qemuctl::QmpClientOptions`

  std::string host; ///< an address
  int port = 0;     ///< 0: the kernel's choice
  std::function<void(std::shared_ptr<HttpExchange>)> handler;
  std::function<void(std::string_view)> on_refused; ///< a client was refused for a reason that is worth a warning
  int max_connections = 512;
  int max_connections_per_address = 32;
  /// For a request to come as a whole, and for a connection to be idle.
  std::chrono::milliseconds read_timeout{15'000};
  /// For a client to take a piece of an answer.
  std::chrono::milliseconds write_timeout{15'000};
};

/// HTTP/1.1 on TCP; the only part that knows RESTinio.
///
/// A target has at most 16 KiB, a field's name 256 bytes and its value 16 KiB, a request 128 fields and a body of 192
/// KiB. Whoever sends more, or takes longer than the limits, gets an answer that says so, and loses the connection.
class HttpServer {
 public:
  /// Listens. The executor has to be that of an `asio::io_context`. Throws `qemuctl::Error` (`errc::invalid_argument`
  /// for an address that is none, else a system error).
  HttpServer(asio::any_io_executor executor, HttpServerOptions options);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  int port() const noexcept;
  /// How many there are now.
  std::size_t connections() const noexcept;
  /// Accepts no more connections and ends those that there are.
  void stop() noexcept;
  /// Returns when none is left.
  asio::awaitable<void> wait_until_ended();

  struct Impl; ///< private

 private:
  std::shared_ptr<Impl> impl_;
};

} // namespace hotplug::detail
