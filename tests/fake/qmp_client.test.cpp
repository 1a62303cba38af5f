// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "expect_error.hpp"
#include "monitor_socket.hpp"
#include "run.hpp"
#include "scripted_qmp_server.hpp"

#include <qemuctl/qmp_client.hpp>

#include <asio/detached.hpp>
#include <asio/this_coro.hpp>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <future>
#include <set>
#include <string>
#include <thread>
#include <vector>

using namespace qemuctl;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
using test::QmpPeer;
using test::ScriptedQmpServer;
using Transport = ScriptedQmpServer::Transport;

TEST_CASE("the client connects over every kind of socket and runs a command") {
  const auto transport =
      GENERATE(Transport::unix_path, Transport::unix_abstract, Transport::unix_abstract_padded, Transport::tcp);
  ScriptedQmpServer server(
      [](QmpPeer& peer) {
        peer.negotiate();
        const auto command = peer.expect("query-status");
        peer.reply(command, Json::object({{"status", "running"}, {"running", true}}));
        peer.wait_until_closed();
      },
      transport);
  test::run([&]() -> asio::awaitable<void> {
    QmpClient client(co_await asio::this_coro::executor);
    CHECK_FALSE(client.is_open());
    co_await client.connect(server.address());
    CHECK(client.is_open());
    CHECK(client.greeting().major == 7);
    CHECK(client.greeting().package == "Debian 1:7.2+dfsg-7");
    CHECK_FALSE(client.peer_pid()); // the server is this process
    const Json status = co_await client.execute("query-status");
    CHECK(status.at("status").as_string() == "running");
  });
  server.finish();
}

TEST_CASE("the client connects to a host name") {
  ScriptedQmpServer server([](QmpPeer& peer) { peer.negotiate(); }, Transport::tcp);
  const MonitorAddress named = TcpAddress{"localhost", std::get<TcpAddress>(server.address()).port};
  asio::io_context context(1); // destroying it also ends the resolver's thread
  test::run(context, [&]() -> asio::awaitable<void> {
    QmpClient client(context.get_executor());
    co_await client.connect(named);
    CHECK(client.is_open());
  });
  server.finish();
}

TEST_CASE("a Unix socket path may be longer than sun_path, absolute or relative") {
  ScriptedQmpServer server({[](QmpPeer& peer) { peer.negotiate(); }, [](QmpPeer& peer) { peer.negotiate(); }});
  const auto deep = server.folder() / std::string(200, 'd');
  std::filesystem::create_directory(deep);
  const auto moved = deep / std::string(150, 's');
  std::filesystem::rename(std::get<UnixPath>(server.address()).path, moved);
  for (const MonitorAddress address : {UnixPath{moved}, UnixPath{std::filesystem::relative(moved)}}) {
    test::run([&]() -> asio::awaitable<void> {
      QmpClient client(co_await asio::this_coro::executor);
      co_await client.connect(address);
      CHECK(client.is_open());
    });
  }
  server.finish();
}

TEST_CASE("the client speaks QMP over a socket it is handed") {
  int pair[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
  FileDescriptor here(pair[0]);
  QmpPeer peer(FileDescriptor(pair[1]), -1);
  std::thread qemu([&] {
    peer.negotiate();
    peer.reply(peer.expect("query-name"));
    peer.wait_until_closed();
  });
  test::run([&]() -> asio::awaitable<void> {
    QmpClient client(co_await asio::this_coro::executor);
    co_await client.connect(std::move(here));
    CHECK_FALSE(client.peer_pid());
    const Json reply = co_await client.execute("query-name");
    CHECK(reply.is_object());
  });
  qemu.join();
}

TEST_CASE("a descriptor that is not a connected stream socket is rejected") {
  int datagram[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, datagram) == 0);
  FileDescriptor other_end(datagram[1]);
  std::vector<FileDescriptor> wrong(4);
  wrong[1].reset(dup(STDERR_FILENO));
  wrong[2].reset(datagram[0]);
  wrong[3].reset(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  for (auto& fd : wrong) {
    const Error error = test::run([&]() -> asio::awaitable<Error> {
      QmpClient client(co_await asio::this_coro::executor);
      co_return co_await test::error_of(client.connect(std::move(fd)));
    });
    CHECK(error.code() == errc::invalid_argument);
  }
}

TEST_CASE("a failed connection names the reason") {
  const test::TempDir folder;
  struct Case {
    MonitorAddress address;
    errc code;
    std::string words;
  };
  const auto not_a_socket = folder / "file";
  FileDescriptor(creat(not_a_socket.c_str(), 0600));
  const std::vector<Case> cases = {
      {UnixPath{folder / "nothing"}, errc::connect_failed, "there is no such socket"},
      {UnixPath{folder / std::string(120, 'x')}, errc::connect_failed, "there is no such socket"},
      {UnixPath{not_a_socket}, errc::connect_failed, "nobody listens there"},
      {UnixPath{""}, errc::invalid_argument, "empty"},
      {UnixPath{std::string("a\0b", 3)}, errc::invalid_argument, "NUL"},
      {UnixAbstract{folder / "nothing"}, errc::connect_failed, "nobody listens there"},
      {UnixAbstract{std::string(108, 'x')}, errc::invalid_argument, "107"},
      {UnixAbstract{""}, errc::invalid_argument, "107"},
      {TcpAddress{"127.0.0.1", 0}, errc::connect_failed, "nobody listens there"},
      {TcpAddress{"host name with spaces", 1}, errc::connect_failed, "host name with spaces"},
  };
  for (const Case& which : cases) {
    asio::io_context context(1);
    const Error error = test::run(context, [&]() -> asio::awaitable<Error> {
      QmpClient client(context.get_executor());
      co_return co_await test::error_of(client.connect(which.address));
    });
    INFO(error.what());
    CHECK(error.code() == which.code);
    CHECK_THAT(error.what(), ContainsSubstring(which.words));
  }
}

TEST_CASE("a client connects only once") {
  ScriptedQmpServer server([](QmpPeer& peer) {
    peer.negotiate();
    peer.reply(peer.expect("query-name"));
  });
  test::run([&]() -> asio::awaitable<void> {
    QmpClient client(co_await asio::this_coro::executor);
    co_await client.connect(server.address());
    const Error error = co_await test::error_of(client.connect(server.address()));
    CHECK(error.code() == errc::invalid_argument);
    co_await client.execute("query-name"); // the connection still works
  });
  server.finish();
}

TEST_CASE("an error reply carries QEMU's error class and description") {
  ScriptedQmpServer server([](QmpPeer& peer) {
    peer.negotiate();
    peer.refuse(peer.expect("device_del"), "DeviceNotFound", "Device 'nic' not found");
  });
  const Error error = test::run([&]() -> asio::awaitable<Error> {
    QmpClientOptions options;
    options.subject = "VM demo";
    QmpClient client(co_await asio::this_coro::executor, options);
    co_await client.connect(server.address());
    Json arguments = Json::object({{"id", "nic"}});
    co_return co_await test::error_of(client.execute("device_del", std::move(arguments)));
  });
  CHECK(error.code() == errc::command_failed);
  CHECK(error.diagnostics().qmp_class == "DeviceNotFound");
  CHECK(error.diagnostics().server_text == "Device 'nic' not found");
  CHECK(error.diagnostics().command == "device_del");
  CHECK(error.diagnostics().subject == "VM demo");
  CHECK_THAT(error.what(), ContainsSubstring("cannot run device_del (VM demo): QEMU refused: Device 'nic' not found"));
  server.finish();
}

TEST_CASE("a thousand commands in flight get their own replies, in whatever order they arrive") {
  constexpr int count = 1'000;
  ScriptedQmpServer server([](QmpPeer& peer) {
    peer.negotiate();
    std::vector<QmpPeer::Command> commands;
    std::set<std::string> ids;
    for (int i = 0; i < count; ++i) {
      commands.push_back(peer.receive());
      ids.insert(commands.back().id.dump());
    }
    if (ids.size() != count) throw std::runtime_error("ids were used twice");
    std::reverse(commands.begin(), commands.end());
    for (const auto& command : commands) peer.reply(command, command.arguments);
  });
  asio::io_context context(1);
  QmpClient client(context.get_executor());
  test::run(context, client.connect(server.address()));
  int answered = 0;
  const auto ask = [&](int number) -> asio::awaitable<void> {
    Json arguments = Json::object({{"number", number}});
    const Json reply = co_await client.execute("echo", std::move(arguments));
    if (reply.at("number").as_int() == number) ++answered;
  };
  for (int i = 0; i < count; ++i) asio::co_spawn(context, ask(i), asio::detached);
  context.restart();
  context.run_for(20s);
  CHECK(answered == count);
  server.finish();
}

TEST_CASE("a command beyond the limit of commands in flight is rejected unsent") {
  ScriptedQmpServer server([](QmpPeer& peer) {
    peer.negotiate();
    const auto first = peer.expect("first");
    const auto second = peer.expect("second");
    peer.reply(first);
    peer.reply(second);
    peer.reply(peer.expect("fourth"));
  });
  asio::io_context context(1);
  QmpClientOptions options;
  options.max_commands_in_flight = 2;
  QmpClient client(context.get_executor(), options);
  test::run(context, client.connect(server.address()));
  int answered = 0;
  const auto ask = [&](std::string command) -> asio::awaitable<void> {
    co_await client.execute(std::move(command));
    ++answered;
  };
  asio::co_spawn(context, ask("first"), asio::detached);
  asio::co_spawn(context, ask("second"), asio::detached);
  const Error error = test::run(context, [&] { return test::error_of(client.execute("third")); });
  CHECK(error.code() == errc::overloaded);
  while (answered < 2) REQUIRE(context.run_one_for(10s) == 1);
  test::run(context, ask("fourth"));
  server.finish();
}

TEST_CASE("replies that are repeated, have no id, or were meant for an earlier client are ignored") {
  ScriptedQmpServer server([](QmpPeer& peer) {
    peer.greet();
    const auto negotiation = peer.expect("qmp_capabilities");
    peer.send(R"({"id": "an earlier client's", "error": {"class": "GenericError", "desc": "no"}})"
              "\r\n");
    peer.reply(negotiation);
    const auto command = peer.expect("query-name");
    peer.send("{\"return\": {}, \"id\": 1}\r\n{\"return\": {}, \"id\": null}\r\n{\"return\": {}}\r\n");
    peer.reply(command, Json::object({{"name", "right"}}));
    peer.reply(command, Json::object({{"name", "again"}}));
    peer.reply(peer.expect("query-status"), Json::object({{"status", "paused"}}));
  });
  test::run([&]() -> asio::awaitable<void> {
    QmpClient client(co_await asio::this_coro::executor);
    co_await client.connect(server.address());
    const Json name = co_await client.execute("query-name");
    CHECK(name.at("name") == "right");
    const Json status = co_await client.execute("query-status");
    CHECK(status.at("status") == "paused");
  });
  server.finish();
}

TEST_CASE("messages may arrive pretty-printed, byte by byte or many at once") {
  ScriptedQmpServer server([](QmpPeer& peer) {
    peer.send_in_pieces(QmpPeer::greeting, 1);
    peer.send_in_pieces(QmpPeer::reply_text(peer.expect("qmp_capabilities")), 1);
    const auto first = peer.expect("first");
    peer.send("{\r\n    \"return\": {\r\n        \"value\": 1\r\n    },\r\n    \"id\": " + first.id.dump() +
              "\r\n}\r\n");
    const auto second = peer.expect("second");
    peer.send(QmpPeer::event_text("STOP") + QmpPeer::reply_text(second, 2) + QmpPeer::event_text("RESUME"));
  });
  test::run([&]() -> asio::awaitable<void> {
    QmpClient client(co_await asio::this_coro::executor);
    auto events = client.subscribe();
    co_await client.connect(server.address());
    const Json first = co_await client.execute("first");
    CHECK(first.at("value") == 1);
    const Json second = co_await client.execute("second");
    CHECK(second == 2);
    const auto stop = co_await events.next(10s);
    CHECK(stop.value().name == "STOP");
    const auto resume = co_await events.next(10s);
    CHECK(resume.value().name == "RESUME");
  });
  server.finish();
}

TEST_CASE("a reply of several megabytes arrives whole, and one beyond the limit ends the connection") {
  const std::string large(std::size_t{2} << 20, 'x');
  ScriptedQmpServer server([&](QmpPeer& peer) {
    peer.negotiate();
    peer.reply(peer.expect("large"), large);
    peer.send_while_it_lasts(QmpPeer::reply_text(peer.expect("larger"), large + large));
  });
  test::run([&]() -> asio::awaitable<void> {
    QmpClientOptions options;
    options.max_message_bytes = std::size_t{3} << 20;
    QmpClient client(co_await asio::this_coro::executor, options);
    co_await client.connect(server.address());
    const Json reply = co_await client.execute("large");
    CHECK(reply.as_string() == large);
    const Error error = co_await test::error_of(client.execute("larger"));
    CHECK(error.code() == errc::interrupted);
    const ConnectionEnd end = co_await client.wait_closed();
    CHECK(end.kind == ConnectionEnd::Kind::garbage);
  });
  server.finish();
}

TEST_CASE("a command larger than the socket buffer is written whole, and later commands follow in order") {
  const std::string large = test::more_than_a_socket_holds();
  ScriptedQmpServer server([&](QmpPeer& peer) {
    peer.negotiate();
    for (const auto* name : {"first", "second", "third"}) {
      const auto command = peer.expect(name);
      peer.reply(command,
                 static_cast<int>(command.arguments.size() == 0 ? 0 : command.arguments.at("text").as_string().size()));
    }
  });
  asio::io_context context(1);
  QmpClient client(context.get_executor());
  test::run(context, client.connect(server.address()));
  std::vector<std::string> order;
  const auto ask = [&](std::string command, Json arguments, int expected) -> asio::awaitable<void> {
    const std::string name = command;
    const Json reply = co_await client.execute(std::move(command), std::move(arguments));
    CHECK(reply == expected);
    order.push_back(name);
  };
  asio::co_spawn(context, ask("first", Json::object({{"text", large}}), static_cast<int>(large.size())),
                 asio::detached);
  asio::co_spawn(context, ask("second", {}, 0), asio::detached);
  test::run(context, ask("third", Json::object({{"text", large}}), static_cast<int>(large.size())));
  CHECK(order == std::vector<std::string>{"first", "second", "third"});
  server.finish();
}

TEST_CASE("a command without a reply ends at its deadline with an unknown outcome, and a late reply is ignored") {
  ScriptedQmpServer server([](QmpPeer& peer) {
    peer.negotiate();
    const auto slow = peer.expect("slow");
    const auto next = peer.expect("next");
    peer.reply(slow, "late");
    peer.reply(next, "right");
  });
  test::run([&]() -> asio::awaitable<void> {
    QmpClient client(co_await asio::this_coro::executor);
    co_await client.connect(server.address());
    ExecuteOptions options;
    options.timeout = 50ms;
    const auto start = std::chrono::steady_clock::now();
    const Error error = co_await test::error_of(client.execute("slow", {}, std::move(options)));
    CHECK(error.code() == errc::interrupted);
    CHECK(error.diagnostics().command == "slow");
    CHECK_THAT(error.what(), ContainsSubstring("no reply within") && ContainsSubstring("ms"));
    const auto waited = std::chrono::steady_clock::now() - start;
    CHECK(waited >= 50ms);
    CHECK(waited < 5s);
    const Json reply = co_await client.execute("next");
    CHECK(reply == "right");
  });
  server.finish();
}

TEST_CASE("an abandoned command does not turn a clean end of the connection into a broken one") {
  ScriptedQmpServer server([](QmpPeer& peer) {
    peer.negotiate();
    peer.expect("slow");
    peer.reply(peer.expect("next"));
    peer.close();
  });
  test::run([&]() -> asio::awaitable<void> {
    QmpClient client(co_await asio::this_coro::executor);
    co_await client.connect(server.address());
    ExecuteOptions options;
    options.timeout = 20ms;
    const Error error = co_await test::error_of(client.execute("slow", {}, std::move(options)));
    CHECK(error.code() == errc::interrupted);
    co_await client.execute("next");
    const ConnectionEnd end = co_await client.wait_closed();
    CHECK(end.kind == ConnectionEnd::Kind::clean);
  });
  server.finish();
}

TEST_CASE("a command the peer does not read in time is not sent, and one already partly written is completed") {
  const std::string large = test::more_than_a_socket_holds();
  std::promise<void> gate;
  ScriptedQmpServer server([&](QmpPeer& peer) {
    peer.negotiate();
    if (gate.get_future().wait_for(10s) != std::future_status::ready) throw std::runtime_error("the gate stayed shut");
    const auto begun = peer.expect("begun");
    if (begun.arguments.at("text").as_string() != large) throw std::runtime_error("a command was not completed");
    peer.reply(peer.expect("last"));
  });
  test::run([&]() -> asio::awaitable<void> {
    QmpClient client(co_await asio::this_coro::executor);
    co_await client.connect(server.address());
    Json arguments = Json::object({{"text", large}});
    ExecuteOptions soon;
    soon.timeout = 50ms;
    const Error begun = co_await test::error_of(client.execute("begun", std::move(arguments), std::move(soon)));
    CHECK(begun.code() == errc::interrupted);
    soon.timeout = 50ms;
    const Error unsent = co_await test::error_of(client.execute("unsent", {}, std::move(soon)));
    CHECK(unsent.code() == errc::timed_out);
    gate.set_value();
    co_await client.execute("last");
  });
  server.finish();
}

TEST_CASE("a deadline of zero expires before anything is sent") {
  ScriptedQmpServer server([](QmpPeer& peer) {
    peer.negotiate();
    peer.reply(peer.expect("second"));
  });
  test::run([&]() -> asio::awaitable<void> {
    QmpClient client(co_await asio::this_coro::executor);
    co_await client.connect(server.address());
    ExecuteOptions options;
    options.timeout = 0ms;
    const Error error = co_await test::error_of(client.execute("first", {}, std::move(options)));
    CHECK(error.code() == errc::timed_out);
    CHECK(error.code() == std::errc::timed_out);
    co_await client.execute("second");
  });
  server.finish();
}

TEST_CASE("arguments that are not an object are rejected unsent") {
  ScriptedQmpServer server([](QmpPeer& peer) {
    peer.negotiate();
    peer.reply(peer.expect("good"));
  });
  test::run([&]() -> asio::awaitable<void> {
    QmpClient client(co_await asio::this_coro::executor);
    co_await client.connect(server.address());
    const Error error = co_await test::error_of(client.execute("bad", Json("text")));
    CHECK(error.code() == errc::invalid_argument);
    co_await client.execute("good");
  });
  server.finish();
}

TEST_CASE("a client that is not connected sends nothing") {
  test::run([&]() -> asio::awaitable<void> {
    QmpClient client(co_await asio::this_coro::executor);
    const Error error = co_await test::error_of(client.execute("query-status"));
    CHECK(error.code() == errc::disconnected);
    CHECK(client.greeting().major == 0);
    CHECK_FALSE(client.peer_pid());
  });
}

TEST_CASE("commands are sent without delay on TCP") {
  ScriptedQmpServer server([](QmpPeer& peer) { peer.negotiate(); }, Transport::tcp);
  test::run([&]() -> asio::awaitable<void> {
    QmpClient client(co_await asio::this_coro::executor);
    co_await client.connect(server.address());
    int delays_off = 0;
    for (int fd = 3; fd < 64; ++fd) {
      int value = 0;
      socklen_t length = sizeof value;
      if (getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &length) == 0 && value != 0) ++delays_off;
    }
    CHECK(delays_off == 1);
  });
  server.finish();
}

TEST_CASE("a TCP connection uses keepalive, so a peer host that disappears is noticed") {
  ScriptedQmpServer server([](QmpPeer& peer) { peer.wait_until_closed(); }, Transport::tcp);
  test::run([&]() -> asio::awaitable<void> {
    const auto executor = co_await asio::this_coro::executor;
    auto attempt = std::make_shared<detail::ConnectAttempt>(executor, "test", 5s);
    detail::StreamSocket socket = co_await detail::connect_to_monitor(attempt, server.address());
    const auto option = [&](int level, int name) {
      int value = -1;
      socklen_t size = sizeof value;
      CHECK(::getsockopt(socket.native_handle(), level, name, &value, &size) == 0);
      return value;
    };
    CHECK(option(SOL_SOCKET, SO_KEEPALIVE) == 1);
    // About a minute, not the kernel's two hours.
    const int probes =
        option(IPPROTO_TCP, TCP_KEEPIDLE) + option(IPPROTO_TCP, TCP_KEEPINTVL) * option(IPPROTO_TCP, TCP_KEEPCNT);
    CHECK(probes <= 90);
    CHECK(option(IPPROTO_TCP, TCP_USER_TIMEOUT) == 60'000);
  });
  server.finish();
}
