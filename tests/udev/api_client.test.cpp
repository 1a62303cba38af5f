// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// The library's client of the device API.
#include "api_cases.hpp"
#include "catch.hpp"
#include "client_socket.hpp"
#include "fake_qemu.hpp"

#include <hotplug/client.hpp>
#include <qemuctl/error.hpp>

#include <asio/ip/tcp.hpp>
#include <sys/socket.h>

#include <chrono>
#include <future>
#include <optional>
#include <string>
#include <vector>

using namespace hotplug;
using namespace test;
using Catch::Matchers::ContainsSubstring;
using qemuctl::Json;

TEST_CASE("the library's client sends concurrent requests and receives events") {
  ApiStickHost host;
  host.start_api();
  test::run(host.io, [&]() -> asio::awaitable<void> {
    ApiAddress address = ApiUnixAddress(host.api_path().string());
    ApiClient client = co_await ApiClient::connect(address);
    const Json enable = qemuctl::parse_json(hear);
    co_await client.request(enable);
    const Json request = qemuctl::parse_json(attach);
    co_await client.request(request);
    const std::optional<ApiEvent> event = co_await client.next_event();
    CHECK(event->message.at("event") == Json("usb_attached"));
    const Json wrong = qemuctl::parse_json(R"({"action":"nothing"})");
    std::string refused;
    try {
      co_await client.request(wrong);
    } catch (const qemuctl::Error& error) {
      CHECK(error.code() == qemuctl::errc::command_failed);
      refused = error.diagnostics().server_text;
    }
    CHECK_THAT(refused, ContainsSubstring("unknown action"));
  });
}

TEST_CASE("the library's client tries all addresses of a host name") {
  ApiHost host;
  host.api.transports.push_back("tcp");
  host.start_api();
  using asio::generic::stream_protocol;
  const auto endpoint = [](const char* address, int port) {
    return stream_protocol::endpoint(
        asio::ip::tcp::endpoint(asio::ip::make_address(address), static_cast<unsigned short>(port)));
  };
  test::run(host.io, [&]() -> asio::awaitable<void> {
    std::vector<stream_protocol::endpoint> addresses;
    addresses.push_back(endpoint("127.77.0.1", host.server->tcp_port())); // nobody listens there
    addresses.push_back(endpoint("127.0.0.1", host.server->tcp_port()));
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    const auto socket = co_await hotplug::detail::connect_first(addresses, "name", deadline);
    CHECK(socket.is_open());
    addresses.pop_back();
    std::string refused;
    try {
      co_await hotplug::detail::connect_first(addresses, "name", deadline);
    } catch (const qemuctl::Error& error) {
      refused = error.what();
    }
    CHECK_THAT(refused, ContainsSubstring("(name): nobody listens there"));
    const ApiClient client =
        co_await ApiClient::connect(ApiTcpAddress("localhost", static_cast<std::uint16_t>(host.server->tcp_port())));
    CHECK(to_string(client.address()).starts_with("localhost:"));
  });
}

TEST_CASE("the library's client keeps working after a cancelled request") {
  std::promise<void> go_on;
  ApiStickHost host([&, wait = go_on.get_future().share()](const FakeQemu::Command& command) {
    if (command.name == "device_add") wait.wait_for(std::chrono::seconds(10));
    return FakeQemu::Fate::done;
  });
  host.start_api();
  test::run(host.io, [&]() -> asio::awaitable<void> {
    ApiAddress address = ApiUnixAddress(host.api_path().string());
    ApiClient client = co_await ApiClient::connect(address);
    const Json request = qemuctl::parse_json(attach), version = qemuctl::parse_json(R"({"action":"version"})");
    std::error_code code;
    try {
      co_await client.request(request, std::chrono::milliseconds(50));
    } catch (const qemuctl::Error& error) {
      code = error.code();
    }
    CHECK(code == qemuctl::errc::interrupted); // it was sent
    go_on.set_value();
    const Json answer = co_await client.request(version);
    CHECK(answer.at("version") == Json("1.2.3"));
  });
}

TEST_CASE("the library's client looks for a service and reports where it has looked") {
  ApiHost host;
  host.start_api();
  test::run(host.io, [&]() -> asio::awaitable<void> {
    std::vector<ApiAddress> addresses;
    addresses.push_back(ApiUnixAddress((host.dir / "none").string()));
    addresses.push_back(ApiUnixAddress(host.api_path().string()));
    ApiClient client = co_await ApiClient::connect_any(addresses);
    CHECK(client.address() == addresses[1]);
    addresses.pop_back();
    std::string refused;
    try {
      co_await ApiClient::connect_any(addresses);
    } catch (const qemuctl::Error& error) {
      CHECK(error.code() == qemuctl::errc::connect_failed);
      refused = error.what();
    }
    CHECK_THAT(refused, ContainsSubstring("none: there is no such socket"));
  });
}
