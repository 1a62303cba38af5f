// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "expect_error.hpp"
#include "run.hpp"
#include "scripted_qmp_server.hpp"

#include <qemuctl/qmp_client.hpp>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/this_coro.hpp>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <future>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace qemuctl;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
using test::QmpPeer;
using test::ScriptedQmpServer;

namespace {

/// A file that can be told from others by its size.
FileDescriptor file_of_size(int size) {
  FileDescriptor file(memfd_create("test", MFD_CLOEXEC));
  REQUIRE(file);
  REQUIRE(ftruncate(file.get(), size) == 0);
  return file;
}

std::int64_t size_of(const FileDescriptor& file) {
  struct stat status {};
  if (fstat(file.get(), &status) != 0) throw std::runtime_error("what came is no descriptor");
  return status.st_size;
}

ExecuteOptions with_files(const std::vector<int>& sizes) {
  ExecuteOptions options;
  for (const int size : sizes) options.file_descriptors.push_back(file_of_size(size));
  return options;
}

/// Replies with the sizes of the files that came with the command.
void reply_with_sizes(QmpPeer& peer, const QmpPeer::Command& command) {
  Json sizes = Json::array();
  for (const auto& file : command.descriptors) sizes.push_back(size_of(file));
  peer.reply(command, sizes);
}

} // namespace

TEST_CASE("file descriptors arrive with their own command and are closed on our side once sent") {
  ScriptedQmpServer server([](QmpPeer& peer) {
    peer.negotiate();
    {
      const auto command = peer.expect("getfd");
      if (write(command.descriptors.at(0).get(), "hello", 5) != 5) throw std::runtime_error("it cannot be written to");
      reply_with_sizes(peer, command);
    }
    reply_with_sizes(peer, peer.expect("plain"));
  });
  test::run([&]() -> asio::awaitable<void> {
    QmpClient client(co_await asio::this_coro::executor);
    co_await client.connect(server.address());
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    const FileDescriptor reading_end(ends[0]);
    ExecuteOptions options;
    options.file_descriptors.emplace_back(ends[1]);
    options.file_descriptors.push_back(file_of_size(7));
    const Json sizes = co_await client.execute("getfd", {}, std::move(options));
    CHECK(sizes == Json::array({0, 7}));
    const Json none = co_await client.execute("plain");
    CHECK(none == Json::array());
    char text[6] = {};
    CHECK(read(reading_end.get(), text, sizeof text) == 5);
    CHECK(std::string(text) == "hello");
    CHECK(read(reading_end.get(), text, sizeof text) == 0); // the server has closed its copy, and we have none
  });
  server.finish();
}

TEST_CASE("descriptors of commands in flight are not mixed up, even when the peer reads slowly") {
  // A large command first, so that later ones wait here and not in the kernel.
  const std::string large = test::more_than_a_socket_holds();
  constexpr int count = 50;
  std::promise<void> gate;
  ScriptedQmpServer server([&](QmpPeer& peer) {
    peer.negotiate();
    if (gate.get_future().wait_for(10s) != std::future_status::ready) throw std::runtime_error("the gate stayed shut");
    for (int i = 0; i <= count; ++i) reply_with_sizes(peer, peer.receive());
  });
  asio::io_context context(1);
  QmpClient client(context.get_executor());
  test::run(context, client.connect(server.address()));
  int right = 0;
  const auto ask = [&](Json arguments, std::vector<int> sizes) -> asio::awaitable<void> {
    ExecuteOptions options = with_files(sizes);
    Json expected = Json::array();
    for (const int size : sizes) expected.push_back(size);
    const Json got = co_await client.execute("sizes", std::move(arguments), std::move(options));
    if (got == expected) ++right;
  };
  asio::co_spawn(context, ask(Json::object({{"text", large}}), {1'000}), asio::detached);
  for (int i = 0; i < count; ++i) {
    std::vector<int> sizes;
    for (int file = 0; file < i % 4; ++file) sizes.push_back(10 * i + file);
    asio::co_spawn(context, ask({}, sizes), asio::detached);
  }
  context.restart();
  while (context.poll() > 0) {
  }
  CHECK(right == 0);
  gate.set_value();
  while (right <= count) REQUIRE(context.run_one_for(10s) == 1);
  server.finish();
}

TEST_CASE("at most sixteen descriptors can be sent at once") {
  ScriptedQmpServer server([](QmpPeer& peer) {
    peer.negotiate();
    reply_with_sizes(peer, peer.expect("add-fd"));
  });
  test::run([&]() -> asio::awaitable<void> {
    QmpClient client(co_await asio::this_coro::executor);
    co_await client.connect(server.address());
    ExecuteOptions too_many = with_files(std::vector<int>(17, 1));
    const Error error = co_await test::error_of(client.execute("add-fd", {}, std::move(too_many)));
    CHECK(error.code() == errc::invalid_argument);
    CHECK_THAT(error.what(), ContainsSubstring("17"));
    ExecuteOptions enough = with_files(std::vector<int>(16, 1));
    const Json sizes = co_await client.execute("add-fd", {}, std::move(enough));
    CHECK(sizes.size() == 16);
  });
  server.finish();
}

TEST_CASE("closed descriptors, and any descriptor over TCP, are rejected before anything is sent") {
  const bool tcp = GENERATE(false, true);
  ScriptedQmpServer server(
      [](QmpPeer& peer) {
        peer.negotiate();
        peer.reply(peer.expect("next"));
      },
      tcp ? ScriptedQmpServer::Transport::tcp : ScriptedQmpServer::Transport::unix_path);
  test::run([&]() -> asio::awaitable<void> {
    QmpClient client(co_await asio::this_coro::executor);
    co_await client.connect(server.address());
    ExecuteOptions options = with_files({1});
    if (!tcp) options.file_descriptors.emplace_back(); // none
    const Error error = co_await test::error_of(client.execute("getfd", {}, std::move(options)));
    CHECK(error.code() == errc::invalid_argument);
    CHECK_THAT(error.what(), ContainsSubstring(tcp ? "Unix socket" : "not open"));
    co_await client.execute("next");
  });
  server.finish();
}

TEST_CASE("descriptors of a command that is abandoned unsent are closed") {
  std::promise<void> gate;
  const std::string large = test::more_than_a_socket_holds();
  ScriptedQmpServer server([&](QmpPeer& peer) {
    peer.negotiate();
    if (gate.get_future().wait_for(10s) != std::future_status::ready) throw std::runtime_error("the gate stayed shut");
    reply_with_sizes(peer, peer.expect("large"));
    reply_with_sizes(peer, peer.expect("next"));
  });
  asio::io_context context(1);
  QmpClient client(context.get_executor());
  test::run(context, client.connect(server.address()));
  Json answer;
  const auto ask = [&]() -> asio::awaitable<void> {
    Json arguments = Json::object({{"text", large}});
    answer = co_await client.execute("large", std::move(arguments));
  };
  asio::co_spawn(context, ask(), asio::detached);
  context.restart();
  while (context.poll() > 0) {
  }

  ExecuteOptions options = with_files({1});
  options.timeout = 20ms;
  const int number = options.file_descriptors[0].get();
  const Error error =
      test::run(context, [&] { return test::error_of(client.execute("getfd", {}, std::move(options))); });
  CHECK(error.code() == errc::timed_out);
  CHECK(fcntl(number, F_GETFD) == -1);
  gate.set_value();
  CHECK(test::run(context, client.execute("next")) == Json::array());
  CHECK(answer == Json::array());
  server.finish();
}
