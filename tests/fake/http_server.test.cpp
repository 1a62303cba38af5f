// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// What becomes of clients that are slow, many, or old.
#include "http_server.hpp"

#include "catch.hpp"

#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using namespace hotplug::detail;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;

namespace {

/// A server that answers each request with its target and its body.
struct Server {
  explicit Server(HttpServerOptions options = {}) {
    options.host = "127.0.0.1";
    options.on_refused = [this](std::string_view) { ++warnings; };
    options.handler = [this](const std::shared_ptr<HttpExchange>& exchange) {
      const HttpRequest& request = exchange->request();
      exchange->respond(HttpResponse(200, "text/plain", request.target + " " + request.body + filler));
    };
    server.emplace(io.get_executor(), std::move(options));
  }
  ~Server() {
    server->stop();
    wait_until("all connections have ended", [this] { return server->connections() == 0; });
  }
  void wait_until(const char* what, const std::function<bool()>& holds) {
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    io.restart();
    while (!holds())
      if (io.run_one_until(deadline) == 0) throw std::runtime_error(std::string("waited in vain until ") + what);
  }

  asio::io_context io{1};
  std::optional<HttpServer> server;
  std::string filler; ///< behind each answer
  int warnings = 0;
};

class Client {
 public:
  explicit Client(Server& server) : server_(server), socket_(server.io) {
    const auto port = static_cast<unsigned short>(server.server->port());
    socket_.connect(asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), port));
    socket_.non_blocking(true);
  }
  ~Client() {
    std::error_code ignored;
    socket_.close(ignored);
    if (reading_) server_.wait_until("it does not read", [this] { return closed_; });
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void send(std::string_view bytes) {
    std::error_code ignored; // one that is closed is seen by reading
    socket_.send(asio::buffer(bytes), 0, ignored);
  }
  /// Reads meanwhile, and stops when the service closes the connection.
  void send_all(std::string_view bytes) {
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    read();
    while (!bytes.empty() && !closed_) {
      std::error_code ec;
      const std::size_t size = socket_.send(asio::buffer(bytes.substr(0, 65'536)), 0, ec);
      bytes.remove_prefix(size);
      if (ec && ec != asio::error::would_block) return;
      if (std::chrono::steady_clock::now() > deadline) throw std::runtime_error("the service reads no more");
      server_.io.restart();
      server_.io.run_for(ec ? 1ms : 0ms);
    }
  }
  void read() {
    reading_ = true;
    socket_.async_read_some(asio::buffer(bytes_), [this](std::error_code ec, std::size_t size) {
      received_.append(bytes_.data(), size);
      closed_ = static_cast<bool>(ec);
      if (!ec) read();
    });
  }
  /// What comes until the service closes the connection.
  std::string rest() {
    if (!reading_) read();
    server_.wait_until("the connection is closed", [this] { return closed_; });
    return received_;
  }
  std::string answer() {
    if (!reading_) read();
    server_.wait_until("an answer comes", [this] { return closed_ || received_.find("\r\n\r\n") != received_.npos; });
    return std::exchange(received_, {});
  }
  /// Sends one byte after the other until the service has had enough; how many there were.
  std::size_t trickle(std::string_view begin, std::size_t most) {
    read();
    send(begin);
    std::size_t sent = 0;
    for (; sent < most && !closed_; ++sent) {
      send("x");
      server_.io.restart();
      server_.io.run_for(10ms);
    }
    return sent;
  }

 private:
  Server& server_;
  asio::ip::tcp::socket socket_;
  std::array<char, 65'536> bytes_{};
  std::string received_;
  bool reading_ = false, closed_ = false;
};

HttpServerOptions quick() {
  HttpServerOptions options;
  options.read_timeout = 200ms;
  options.write_timeout = 200ms;
  return options;
}

constexpr std::size_t too_long = 2'000; // 20 s

} // namespace

TEST_CASE("HTTP: a client that sends its request byte by byte gets a timeout, however steady it is") {
  Server server(quick());
  for (const char* begin : {"GET /", "GET / HTTP/1.1\r\nHost: localhost\r\nX: ",
                            "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n",
                            "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n"}) {
    INFO(begin);
    Client client(server);
    CHECK(client.trickle(begin, too_long) < too_long);
    CHECK_THAT(client.rest(), StartsWith("HTTP/1.1 408 Request Timeout\r\n") && ContainsSubstring("took too long"));
  }
  Client silent(server);
  CHECK(silent.rest().empty());
  Client other(server);
  other.send("GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n");
  CHECK_THAT(other.answer(), StartsWith("HTTP/1.1 200 OK\r\n") && ContainsSubstring("/a "));
}

TEST_CASE("HTTP: an idle connection is closed without another answer") {
  Server server(quick());
  Client client(server);
  client.send("GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const std::string answer = client.rest();
  CHECK_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n") && EndsWith("/a "));
}

TEST_CASE("HTTP: a client that sends far too much can read why, although its request was not read to the end") {
  Server server;
  const std::string post = "POST / HTTP/1.1\r\nHost: localhost\r\n", much(1 << 20, 'x');
  std::string chunks = "Transfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 200 << 10; ++i) chunks += "1\r\nx\r\n";
  std::string fields;
  for (int i = 0; i < 200; ++i) fields += "X" + std::to_string(i) + ": 1\r\n";
  for (const auto& [status, request] :
       {std::pair<int, std::string>(413, post + "Content-Length: 1048576\r\n\r\n" + much),
        {413, post + "Content-Length: 1000000000000\r\n\r\n"},
        {413, post + chunks},
        {414, "GET /" + much},
        {431, post + "X: " + much},
        {431, post + much},
        {431, post + fields + "\r\n"},
        {400, "\x16\x03\x01" + much},
        {400, post + "Content-Length: 10\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n"}}) {
    INFO(request.substr(0, 100));
    Client client(server);
    client.send_all(request);
    CHECK_THAT(client.rest(), StartsWith("HTTP/1.1 " + std::to_string(status) + " ") &&
                                  ContainsSubstring("\r\nConnection: close\r\n") &&
                                  ContainsSubstring("\r\nContent-Type: application/problem+json\r\n"));
  }
  server.wait_until("all have ended", [&] { return server.server->connections() == 0; });
}

TEST_CASE("HTTP: a client that never stops sending is cut off") {
  Server server;
  Client client(server);
  client.send_all("GET /" + std::string(32 << 20, 'x'));
  CHECK_THAT(client.rest(), StartsWith("HTTP/1.1 414 "));
}

TEST_CASE("HTTP: one address has at most 32 connections") {
  Server server;
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 32; ++i) {
    clients.push_back(std::make_unique<Client>(server));
    clients.back()->send("GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK_THAT(clients.back()->answer(), ContainsSubstring("/a "));
  }
  Client more(server);
  more.send("GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n");
  CHECK(more.rest().empty());
  CHECK(server.warnings == 1);
}

TEST_CASE("HTTP: a client that does not read its answer is disconnected, and delays nobody") {
  Server server(quick());
  server.filler.assign(64 << 20, ' '); // more than the kernel keeps for anybody
  Client deaf(server);
  deaf.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  server.wait_until("it is connected", [&] { return server.server->connections() == 1; });
  server.wait_until("it is not any more", [&] { return server.server->connections() == 0; });
}

TEST_CASE("HTTP: the number of connections is limited, until one ends") {
  HttpServerOptions options;
  SECTION("in all") {
    options.max_connections = 2;
  }
  SECTION("of one address") {
    options.max_connections_per_address = 2;
  }
  Server server(std::move(options));
  const std::string request = "GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n";
  std::optional<Client> first(server);
  Client second(server);
  for (Client* each : {&*first, &second}) {
    each->send(request);
    CHECK_THAT(each->answer(), ContainsSubstring("/a "));
  }
  for (int i = 0; i < 3; ++i) {
    Client more(server);
    more.send(request);
    CHECK(more.rest().empty());
  }
  CHECK(server.warnings == 1);
  first.reset();
  server.wait_until("there is a place", [&] { return server.server->connections() == 1; });
  Client third(server);
  third.send(request);
  CHECK_THAT(third.answer(), ContainsSubstring("/a "));
}

TEST_CASE("HTTP/1.0: a request is answered, and the connection is closed unless the client asks to keep it") {
  Server server;
  Client client(server);
  client.send("GET /a HTTP/1.0\r\nHost: localhost\r\n\r\n");
  const std::string answer = client.rest();
  CHECK_THAT(answer, StartsWith("HTTP/1.") && ContainsSubstring(" 200 OK\r\n") &&
                         ContainsSubstring("Connection: close\r\n") && EndsWith("/a "));
  Client keeping(server);
  for (const char* target : {"/b", "/c"}) {
    keeping.send("GET " + std::string(target) + " HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n");
    CHECK_THAT(keeping.answer(), ContainsSubstring(" 200 OK\r\n") && ContainsSubstring(target));
  }
}
