// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "serving_host.hpp"

#include <hotplug/rest_server.hpp>
#include <qemuctl/json.hpp>

#include <asio/ip/tcp.hpp>

#include <array>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace test {

/// A host with an engine that serves the REST API.
class RestHost : public ServingHost {
 public:
  RestHost();

  /// Starts the engine, connects it to its VMs that run, and serves the API.
  void start_rest();
  /// Ends both.
  void stop_rest();
  /// A file with these tokens; its path.
  std::string token_file(std::string_view lines = "ops 0123456789abcdef\n");

  hotplug::RestConfig rest;
  hotplug::RestServerOptions rest_options;
  std::optional<hotplug::RestServer> server;
};

/// An answer of HTTP.
struct HttpAnswer {
  int status = 0;
  std::map<std::string, std::string> headers; ///< names in lower case
  std::string body;

  qemuctl::Json json() const { return qemuctl::parse_json(body); }
  std::string header(const std::string& name) const;
};

/// A connection that writes what a test wants, byte by byte if need be. The engine works while it waits.
class HttpWire {
 public:
  /// `from`: the address that it comes from.
  explicit HttpWire(RestHost& host, const char* from = "127.0.0.1");
  ~HttpWire();
  HttpWire(const HttpWire&) = delete;
  HttpWire& operator=(const HttpWire&) = delete;

  void send(std::string_view bytes);
  /// The next answer; nullopt: the service has closed the connection instead.
  std::optional<HttpAnswer> answer(bool of_head = false);
  /// Sends a request with these lines in its head (each with its end), and reads the answer. Throws when openapi.json
  /// does not name its status.
  HttpAnswer ask(std::string_view method, std::string_view target, std::string_view fields = {},
                 std::string_view body = {});
  /// The next line of whatever comes.
  std::string line();
  /// The head of an answer that goes on.
  HttpAnswer head();
  /// The next server-sent event: its id, its type, and its data.
  struct Event {
    std::string id, type;
    qemuctl::Json data;
  };
  Event event();
  /// The next one of that type; others are skipped.
  Event event(std::string_view type);
  /// What comes until the end of the stream, but for comments and lines of a chunk's size.
  std::string rest_of_stream();
  /// Whether there is one already.
  bool has_event() const;
  bool closed() const;
  /// Waits until the service has closed the connection.
  void wait_until_closed();
  void close();

 private:
  struct State;
  RestHost& host_;
  std::shared_ptr<State> state_;
};

/// The same with a connection of its own.
HttpAnswer ask(RestHost& host, std::string_view method, std::string_view target, std::string_view fields = {},
               std::string_view body = {});

} // namespace test
