// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "expect_error.hpp"
#include "machine.hpp"
#include "run.hpp"
#include "running_qemu.hpp"
#include "temp_dir.hpp"

#include <qemuctl/qmp_client.hpp>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace qemuctl;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;

namespace {

std::string monitor_option(const test::TempDir& folder) {
  return "unix:" + (folder / "qmp.sock").native() + ",server=on,wait=off";
}

UnixPath monitor_address(const test::TempDir& folder) {
  return {folder / "qmp.sock"};
}

} // namespace

QEMU_TEST_CASE("the client talks to QEMU over every kind of monitor") {
  const test::TempDir folder;
  const std::string name = folder / "abstract";
  struct Kind {
    std::vector<std::string> arguments;
    MonitorAddress address;
  };
  const std::vector<Kind> kinds = {
      {{"-qmp", monitor_option(folder)}, monitor_address(folder)},
      {{"-qmp-pretty", monitor_option(folder)}, monitor_address(folder)},
      {{"-qmp", "unix:" + name + ",abstract=on,server=on,wait=off"}, UnixAbstract{name, true}},
      {{"-qmp", "unix:" + name + ",abstract=on,tight=off,server=on,wait=off"}, UnixAbstract{name, false}},
  };
  for (const Kind& kind : kinds) {
    INFO(to_string(kind.address));
    asio::io_context context(1);
    const test::RunningQemu running(context, qemu, kind.arguments);
    QmpClient client(context.get_executor());
    test::run(context, client.connect(kind.address));
    CHECK(client.greeting().major >= 7);
    CHECK(client.peer_pid() == running.pid());
    const Json status = test::run(context, client.execute("query-status"));
    CHECK(status.at("status") == "prelaunch");
    const Error error = test::run(context, [&] { return test::error_of(client.execute("no-such-command")); });
    CHECK(error.code() == errc::command_failed);
    CHECK(error.diagnostics().qmp_class == "CommandNotFound");
    // QEMU's largest reply.
    const Json schema = test::run(context, client.execute("query-qmp-schema"));
    CHECK(schema.size() > 1'000);
  }
}

QEMU_TEST_CASE("each of many commands in flight gets QEMU's reply to it") {
  asio::io_context context(1);
  test::RunningQemu running(context, qemu, {});
  int right = 0;
  const auto ask = [&](int number) -> asio::awaitable<void> {
    const std::string line = "info no_such_thing_" + std::to_string(number);
    Json arguments = Json::object({{"command-line", line}});
    const Json reply = co_await running.qmp().execute("human-monitor-command", std::move(arguments));
    if (reply.as_string().find("no_such_thing_" + std::to_string(number) + "'") != std::string::npos) ++right;
  };
  constexpr int count = 100;
  for (int i = 0; i < count; ++i) asio::co_spawn(context, ask(i), asio::detached);
  context.restart();
  while (right < count) REQUIRE(context.run_one_for(10s) == 1);
}

QEMU_TEST_CASE("QEMU gets the file descriptors of each command, also with several in flight") {
  const test::TempDir folder;
  asio::io_context context(1);
  test::RunningQemu running(context, qemu, {"-qmp", monitor_option(folder)});
  QmpClient client(context.get_executor());
  test::run(context, client.connect(monitor_address(folder)));

  constexpr int count = 6;
  std::vector<int> sets(count, -1);
  const auto add = [&](int number) -> asio::awaitable<void> {
    ExecuteOptions options;
    const auto file = folder / ("file" + std::to_string(number));
    options.file_descriptors.emplace_back(open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    Json arguments = Json::object({{"opaque", "file" + std::to_string(number)}});
    const Json added = co_await client.execute("add-fd", std::move(arguments), std::move(options));
    const int fd = static_cast<int>(added.at("fd").as_int());
    const auto target =
        std::filesystem::read_symlink("/proc/" + std::to_string(running.pid()) + "/fd/" + std::to_string(fd));
    if (target == file) sets[static_cast<std::size_t>(number)] = static_cast<int>(added.at("fdset-id").as_int());
  };
  for (int i = 0; i < count; ++i) asio::co_spawn(context, add(i), asio::detached);
  test::run(context, client.execute("query-fdsets")); // answered last
  CHECK(std::count(sets.begin(), sets.end(), -1) == 0);
  const Json known = test::run(context, client.execute("query-fdsets"));
  CHECK(known.size() == count);
  test::run(context, client.execute("cont")); // QEMU 7.2 removes descriptors only while the VM runs
  for (const int set : sets) test::run(context, client.execute("remove-fd", Json::object({{"fdset-id", set}})));
  CHECK(test::run(context, client.execute("query-fdsets")) == Json::array());

  ExecuteOptions options;
  options.file_descriptors.emplace_back(open("/dev/null", O_RDWR | O_CLOEXEC));
  test::run(context, client.execute("getfd", Json::object({{"fdname", "null"}}), std::move(options)));
  test::run(context, client.execute("closefd", Json::object({{"fdname", "null"}})));
  const Error error = test::run(context, [&] {
    return test::error_of(client.execute("getfd", Json::object({{"fdname", "none"}})));
  });
  CHECK_THAT(error.diagnostics().server_text, ContainsSubstring("No file descriptor supplied"));
}

QEMU_TEST_CASE("quit is answered and ends the connection cleanly, after its event") {
  asio::io_context context(1);
  test::RunningQemu running(context, qemu, {});
  EventSubscription events = running.qmp().subscribe();
  test::run(context, running.qmp().execute("quit"));
  const ConnectionEnd end = test::run(context, running.qmp().wait_closed());
  INFO(end.reason);
  CHECK(end.kind == ConnectionEnd::Kind::clean);
  CHECK(test::run(context, events.next(5s)).value().name == "SHUTDOWN");
  CHECK_FALSE(test::run(context, events.next(5s)).has_value());
}

QEMU_TEST_CASE("a QEMU killed while a command is pending leaves its outcome unknown") {
  asio::io_context context(1);
  test::RunningQemu running(context, qemu, {});
  REQUIRE(kill(running.pid(), SIGSTOP) == 0); // so that it does not answer first
  std::optional<Error> error;
  const auto ask = [&]() -> asio::awaitable<void> {
    error = co_await test::error_of(running.qmp().execute("query-status"));
  };
  asio::co_spawn(context, ask(), asio::detached);
  context.restart();
  context.poll(); // sent
  REQUIRE(running.process().send_signal(SIGKILL));
  while (!error) REQUIRE(context.run_one_for(10s) == 1);
  CHECK(error->code() == errc::interrupted);
  CHECK(test::run(context, running.qmp().wait_closed()).kind == ConnectionEnd::Kind::cut);
}
