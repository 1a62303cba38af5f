// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// The device API of an engine that has nothing to do, with clients that want much: also for the sanitizers, which the
// tests with devices do without.
#include "catch.hpp"
#include "temp_dir.hpp"

#include <hotplug/api_server.hpp>
#include <hotplug/client.hpp>
#include <qemuctl/error.hpp>
#include <qemuctl/json.hpp>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/local/stream_protocol.hpp>
#include <asio/write.hpp>
#include <sys/stat.h>

#include <array>
#include <chrono>
#include <exception>
#include <fstream>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
using hotplug::ApiAddress;
using hotplug::ApiClient;
using qemuctl::Json;

namespace {

/// A service without rules, on a Unix socket, and on TCP for those who show a token.
class Service {
 public:
  Service() {
    hotplug::Config config;
    config.general.persistency = false;
    hotplug::VmEntry vm;
    vm.name = "off";
    vm.socket = (dir / "off.sock").string();
    config.vms.push_back(vm);
    hotplug::EngineOptions engine_options;
    engine_options.runtime_dir = dir.path();
    engine.emplace(io.get_executor(), config, engine_options);
    std::ofstream(dir / "tokens") << "ops 0123456789abcdef\n";
    ::chmod((dir / "tokens").c_str(), 0600);
    api.transports = std::vector<std::string>{"unix", "tcp"};
    api.unix_socket = (dir / "api.sock").string();
    api.port = 0;
    api.token_file = (dir / "tokens").string();
    hotplug::ApiServerOptions options;
    options.version = "1.2.3";
    options.log = [this](hotplug::LogLevel, std::string_view line) { log.append(line).append("\n"); };
    options.reload = [this] {
      server->reload(api);
      server->announce_reload();
    };
    server.emplace(io.get_executor(), *engine, api, options);
    start(engine->run());
    asio::co_spawn(io, server->run(),
                   asio::bind_cancellation_slot(stop_server.slot(), [this](std::exception_ptr) { --running; }));
    ++running;
  }
  ~Service() {
    stop_server.emit(asio::cancellation_type::terminal);
    engine->stop();
    try {
      wait_until("all have ended", [this] { return running == 0; });
    } catch (const std::exception&) { // the case has failed anyway
    }
  }
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  void start(asio::awaitable<void> work) { asio::co_spawn(io, std::move(work), ended()); }
  void wait_until(const char* what, const std::function<bool()>& holds) {
    const auto deadline = std::chrono::steady_clock::now() + 30s;
    io.restart();
    while (!holds()) {
      if (failure) std::rethrow_exception(failure);
      if (io.run_one_until(deadline) == 0) throw std::runtime_error(std::string("waited in vain until ") + what);
    }
  }
  ApiAddress by_unix() const { return hotplug::ApiUnixAddress(api.unix_socket); }
  ApiAddress by_tcp() const {
    return hotplug::ApiTcpAddress("127.0.0.1", static_cast<std::uint16_t>(server->tcp_port()));
  }

  test::TempDir dir;
  asio::io_context io{1};
  hotplug::ApiConfig api;
  std::optional<hotplug::Engine> engine;
  std::optional<hotplug::ApiServer> server;
  std::string log;
  asio::cancellation_signal stop_server;
  int running = 0;
  std::exception_ptr failure;

 private:
  std::function<void(std::exception_ptr)> ended() {
    ++running;
    return [this](std::exception_ptr error) {
      --running;
      if (error && !failure) failure = error;
    };
  }
};

Json action(const char* name) {
  Json request;
  request.set("action", name);
  return request;
}

/// One client that asks for this and that, and hears an event.
asio::awaitable<void> use(ApiAddress address, int& heard) {
  hotplug::ApiClientOptions options;
  if (std::holds_alternative<hotplug::ApiTcpAddress>(address)) options.token = "0123456789abcdef";
  ApiClient client = co_await ApiClient::connect(std::move(address), std::move(options));
  for (const char* name : {"enable_notifications", "version", "usb_list", "device_list", "vm_list"}) {
    const Json request = action(name);
    const Json answer = co_await client.request(request);
    CHECK(answer.at("result") == Json("ok"));
  }
  Json attach = action("usb_attach");
  attach.set("tag", "none");
  std::string refused;
  try {
    co_await client.request(attach);
  } catch (const qemuctl::Error& error) {
    refused = error.diagnostics().server_text;
  }
  CHECK_THAT(refused, ContainsSubstring("there is no device with that tag"));
  ++heard;
  const auto event = co_await client.next_event(20s);
  CHECK(event->message.at("event") == Json("config_reloaded"));
}

} // namespace

TEST_CASE("clients of the device API on a Unix socket and on TCP are served side by side") {
  Service service;
  int listening = 0;
  constexpr int clients = 20;
  for (int i = 0; i < clients; ++i) service.start(use(i % 2 == 0 ? service.by_unix() : service.by_tcp(), listening));
  service.wait_until("all listen", [&] { return listening == clients; });
  service.start([](Service& to) -> asio::awaitable<void> {
    ApiClient client = co_await ApiClient::connect(to.by_unix());
    const Json reload = action("reload");
    co_await client.request(reload);
  }(service));
  service.wait_until("all have heard", [&] { return service.running == 2; });
}

TEST_CASE(
    "a client of the device API that does not read is dropped, and one that waits for an answer is told the end") {
  Service service;
  asio::local::stream_protocol::socket stuck(service.io);
  stuck.connect(asio::local::stream_protocol::endpoint(service.api.unix_socket));
  asio::write(stuck, asio::buffer(std::string_view("{\"action\":\"enable_notifications\"}\n")));
  std::array<char, 100> answer{};
  bool answered = false;
  stuck.async_read_some(asio::buffer(answer), [&](std::error_code, std::size_t) { answered = true; });
  service.wait_until("it listens", [&] { return answered; });
  for (int i = 0; service.log.find("does not read") == service.log.npos; ++i) {
    REQUIRE(i < 1'000);
    for (int j = 0; j < 100; ++j) service.server->announce_reload();
    service.io.restart();
    service.io.poll();
  }
  bool connected = false, over = false;
  service.start([](Service& to, bool& served, bool& ended) -> asio::awaitable<void> {
    ApiClient client = co_await ApiClient::connect(to.by_unix());
    const Json version = action("version");
    co_await client.request(version);
    served = true;
    const auto event = co_await client.next_event();
    CHECK_FALSE(event);
    ended = true;
  }(service, connected, over));
  service.wait_until("it is connected", [&] { return connected; });
  service.stop_server.emit(asio::cancellation_type::terminal);
  service.wait_until("it is told", [&] { return over; });
}

TEST_CASE("a client of the device API may disconnect, or be disconnected, at any moment") {
  Service service;
  for (int i = 0; i < 50; ++i) {
    asio::local::stream_protocol::socket client(service.io);
    client.connect(asio::local::stream_protocol::endpoint(service.api.unix_socket));
    asio::write(client,
                asio::buffer(std::string_view("{\"action\":\"enable_notifications\"}\n{\"action\":\"device_list\"}\n"
                                              "{\"action\":\"vm_status\",\"vm\":\"off\"}\n{\"act")));
    for (int j = 0; j < i % 10; ++j) service.io.run_one_for(1s);
  }
  // With permissions for nobody open connections stay, and may do nothing.
  bool done = false;
  service.start([](Service& to, bool& all) -> asio::awaitable<void> {
    ApiClient local = co_await ApiClient::connect(to.by_unix());
    hotplug::ApiClientOptions options;
    options.token = "0123456789abcdef";
    ApiClient remote = co_await ApiClient::connect(to.by_tcp(), options);
    to.api.permissions.emplace();
    to.api.token_file.clear();
    to.server->reload(to.api);
    const auto event = co_await remote.next_event(20s); // its token has gone
    CHECK_FALSE(event);
    std::string refused;
    const Json list = action("usb_list");
    try {
      co_await local.request(list);
    } catch (const qemuctl::Error& error) {
      refused = error.diagnostics().server_text;
    }
    CHECK_THAT(refused, ContainsSubstring("you may not use usb_list"));
    all = true;
  }(service, done));
  service.wait_until("it is refused", [&] { return done; });
}
