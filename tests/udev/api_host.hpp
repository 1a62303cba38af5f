// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "serving_host.hpp"

#include <hotplug/api_server.hpp>
#include <qemuctl/json.hpp>

#include <asio/generic/stream_protocol.hpp>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace test {

/// A host with an engine that serves the device API on a Unix socket, and on TCP when `api` says so.
class ApiHost : public ServingHost {
 public:
  ApiHost();

  std::filesystem::path api_path() const { return dir / "api.sock"; }
  /// Starts the engine, connects it to its VMs that run, and serves the API.
  void start_api();

  hotplug::ApiConfig api;
  hotplug::ApiServerOptions api_options;
  std::optional<hotplug::ApiServer> server;
};

/// A client that writes what a test wants, byte by byte if need be. The engine works while it waits.
class Wire {
 public:
  /// On the Unix socket, or on that port of 127.0.0.1.
  explicit Wire(ApiHost& host, int tcp_port = 0);
  Wire(ApiHost& host, const asio::generic::stream_protocol::endpoint& to);
  ~Wire();
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  void send(std::string_view bytes);
  /// The next line, without its end; throws when none comes. nullopt: the service has closed the connection.
  std::optional<std::string> line();
  /// The next line as JSON.
  qemuctl::Json message();
  /// Sends a request and reads what comes then.
  std::string ask(std::string_view request);
  /// The next message with this event; others are skipped.
  qemuctl::Json event(std::string_view name);
  /// Whether there is a line already.
  bool has_line() const;
  bool closed() const;
  void stop_reading();
  void go_on_reading();
  /// What waits while it does not read.
  std::size_t unread() const;
  void close();

 private:
  struct State;
  ApiHost& host_;
  std::shared_ptr<State> state_;
};

} // namespace test
