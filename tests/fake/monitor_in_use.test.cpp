// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "expect_error.hpp"
#include "monitor_holder.hpp"
#include "monitor_socket.hpp"
#include "other_process.hpp"
#include "run.hpp"
#include "scripted_qmp_server.hpp"

#include <qemuctl/qmp_client.hpp>

#include <asio/co_spawn.hpp>
#include <asio/this_coro.hpp>
#include <poll.h>
#include <sys/socket.h>

#include <exception>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace qemuctl;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
using test::QmpPeer;
using test::ScriptedQmpServer;
using Transport = ScriptedQmpServer::Transport;

namespace {

QmpClientOptions impatient() {
  QmpClientOptions options;
  options.connect_timeout = 300ms;
  options.greeting_timeout = 300ms;
  return options;
}

Error connect_error(const MonitorAddress& address) {
  return test::run([&]() -> asio::awaitable<Error> {
    const auto executor = co_await asio::this_coro::executor;
    QmpClient client(executor, impatient());
    co_return co_await test::error_of(client.connect(address));
  });
}

void serve(QmpPeer& peer) {
  peer.negotiate();
  peer.wait_until_closed();
}

} // namespace

TEST_CASE("a monitor held by another client is in use, and the client is named") {
  const auto transport =
      GENERATE(Transport::unix_path, Transport::unix_abstract, Transport::unix_abstract_padded, Transport::tcp);
  ScriptedQmpServer server(serve, transport);
  asio::io_context context(1);
  QmpClient first(context.get_executor());
  test::run(context, first.connect(server.address()));

  const Error ours = connect_error(server.address());
  INFO(ours.what());
  CHECK(ours.code() == errc::monitor_in_use);
  CHECK_THAT(ours.what(), ContainsSubstring("this process"));
  CHECK_FALSE(ours.diagnostics().advice.empty());
  first.close();
  server.finish();
}

TEST_CASE("the client that holds a monitor is identified by its process and PID") {
  const auto transport = GENERATE(Transport::unix_path, Transport::unix_abstract, Transport::tcp);
  ScriptedQmpServer server(
      [](QmpPeer& peer) {
        peer.greet();
        peer.wait_until_closed();
      },
      transport);
  asio::io_context context(1);
  auto connection = std::make_shared<detail::ConnectAttempt>(context.get_executor(), "test", 5s);
  auto socket = test::run(context, detail::connect_to_monitor(connection, server.address()));
  // Accepted: the greeting has arrived.
  pollfd greeted{socket.native_handle(), POLLIN, 0};
  REQUIRE(poll(&greeted, 1, 10'000) == 1);
  std::optional<test::OtherProcess> holder(std::in_place, "my client");
  socket.close(); // now the other process is the only one that has it

  const Error error = connect_error(server.address());
  INFO(error.what());
  CHECK(error.code() == errc::monitor_in_use);
  CHECK_THAT(error.what(), ContainsSubstring("my client (PID " + std::to_string(holder->pid()) + ")"));

  const auto found = detail::find_monitor_holder(server.address(), -1);
  REQUIRE(found);
  CHECK(found->pid == holder->pid());
  CHECK(found->command == "my client");
  holder.reset();
  server.finish();
}

TEST_CASE("a monitor whose listen backlog is full is in use") {
  ScriptedQmpServer server(serve);
  asio::io_context context(1);
  QmpClient first(context.get_executor());
  test::run(context, first.connect(server.address()));
  // The kernel accepts one more than the backlog of 1.
  std::vector<detail::StreamSocket> waiting;
  auto attempt = std::make_shared<detail::ConnectAttempt>(context.get_executor(), "test", 5s);
  for (int i = 0; i < 2; ++i) {
    auto socket = test::run(context, detail::connect_to_monitor(attempt, server.address()));
    waiting.push_back(std::move(socket));
  }
  const auto start = std::chrono::steady_clock::now();
  const Error error = connect_error(server.address());
  INFO(error.what());
  CHECK(error.code() == errc::monitor_in_use);
  CHECK_THAT(error.what(), ContainsSubstring("this process"));
  CHECK(std::chrono::steady_clock::now() - start < 250ms); // nothing to wait for
  first.close();
  server.finish();
}

TEST_CASE("a TCP monitor that accepts no more connections is in use") {
  ScriptedQmpServer server(serve, Transport::tcp);
  asio::io_context context(1);
  QmpClient first(context.get_executor());
  test::run(context, first.connect(server.address()));
  std::vector<detail::StreamSocket> waiting;
  auto attempt = std::make_shared<detail::ConnectAttempt>(context.get_executor(), "test", 5s);
  for (int i = 0; i < 2; ++i) {
    auto socket = test::run(context, detail::connect_to_monitor(attempt, server.address()));
    waiting.push_back(std::move(socket));
  }
  const Error error = connect_error(server.address());
  INFO(error.what());
  CHECK(error.code() == errc::monitor_in_use);
  first.close();
  server.finish();
}

TEST_CASE("a silent server with no other client is not reported as a monitor in use") {
  const auto transport = GENERATE(Transport::unix_path, Transport::unix_abstract, Transport::tcp);
  SECTION("it accepts") {
    ScriptedQmpServer server([](QmpPeer& peer) { peer.stay_silent(); }, transport);
    const Error error = connect_error(server.address());
    INFO(error.what());
    CHECK(error.code() == errc::timed_out);
    CHECK_THAT(error.what(), ContainsSubstring("it accepted the connection but sent no greeting"));
    server.finish();
  }
  SECTION("it does not accept") {
    ScriptedQmpServer server(std::vector<ScriptedQmpServer::Script>{}, transport);
    const Error error = connect_error(server.address());
    INFO(error.what());
    CHECK(error.code() == errc::timed_out);
    CHECK_THAT(error.what(), ContainsSubstring("did not accept the connection"));
  }
}

TEST_CASE("a server that sends its greeting but is not ready in time is still initialising") {
  ScriptedQmpServer server([](QmpPeer& peer) {
    peer.greet();
    peer.wait_until_closed();
  });
  const Error error = connect_error(server.address());
  INFO(error.what());
  CHECK(error.code() == errc::timed_out);
  CHECK_THAT(error.what(), ContainsSubstring("still initialising"));
  server.finish();
}

TEST_CASE("a silent socket pair has no other client") {
  int pair[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
  FileDescriptor ours(pair[0]);
  const FileDescriptor theirs(pair[1]);
  const Error error = test::run([&]() -> asio::awaitable<Error> {
    const auto executor = co_await asio::this_coro::executor;
    QmpClient client(executor, impatient());
    co_return co_await test::error_of(client.connect(std::move(ours)));
  });
  INFO(error.what());
  CHECK(error.code() == errc::timed_out);
}

TEST_CASE("monitors with the same relative path in different folders are told apart") {
  ScriptedQmpServer held(serve);
  ScriptedQmpServer silent([](QmpPeer& peer) { peer.stay_silent(); });
  asio::io_context context(1);
  QmpClient first(context.get_executor());
  test::run(context, first.connect(held.address()));
  CHECK(detail::find_monitor_holder(held.address(), -1).has_value());
  CHECK_FALSE(detail::find_monitor_holder(silent.address(), -1).has_value());
  // Through another path it is still the same socket.
  const auto link = held.folder() / "link";
  std::filesystem::create_symlink(std::get<UnixPath>(held.address()).path, link);
  CHECK(detail::find_monitor_holder(UnixPath{link}, -1).has_value());
  CHECK_FALSE(detail::find_monitor_holder(UnixPath{"/nonexistent"}, -1).has_value());
  CHECK_FALSE(detail::find_monitor_holder(TcpAddress{"name.invalid", 1}, -1).has_value());
  CHECK(connect_error(silent.address()).code() == errc::timed_out);
  first.close();
  held.finish();
  silent.finish();
}

TEST_CASE("once the client leaves, the monitor is free again and a waiting client is served") {
  ScriptedQmpServer server({serve, serve});
  asio::io_context context(1);
  QmpClient first(context.get_executor());
  test::run(context, first.connect(server.address()));
  QmpClient second(context.get_executor());
  auto waiting = [](QmpClient& client, MonitorAddress address) -> asio::awaitable<void> {
    co_await client.connect(std::move(address));
  };
  bool ready = false;
  asio::co_spawn(context, waiting(second, server.address()), [&](std::exception_ptr error) { ready = !error; });
  context.restart();
  context.poll();
  CHECK_FALSE(ready);
  first.close();
  while (!ready) REQUIRE(context.run_one_for(10s) == 1);
  second.close();
  server.finish();
}
