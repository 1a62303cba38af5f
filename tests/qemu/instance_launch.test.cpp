// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "machine.hpp"
#include "run.hpp"
#include "small_vm.hpp"
#include "temp_dir.hpp"

#include <qemuctl/instance.hpp>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

using namespace qemuctl;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;

namespace {

/// A program that is this QEMU when it is asked what it can do, and something worse when it is to run a VM.
std::string faulty_qemu(const test::TempDir& dir, const std::filesystem::path& qemu, const std::string& instead) {
  const std::filesystem::path script = dir / "faulty-qemu";
  std::ofstream(script) << "#!/bin/sh\ncase \"$*\" in *debug-threads*) " << instead << ";; esac\nexec " << qemu.string()
                        << " \"$@\"\n";
  ::chmod(script.c_str(), 0755);
  return script.string();
}

/// Launches and returns the error that this must give.
Error launch_error(VmConfig config, LaunchOptions options = test::for_test()) {
  try {
    test::run([&]() -> asio::awaitable<void> {
      Instance vm = co_await Instance::launch(std::move(config), std::move(options));
    });
  } catch (const Error& error) {
    return error;
  }
  FAIL("the launch succeeded");
  throw std::logic_error("unreachable");
}

} // namespace

QEMU_TEST_CASE("The public monitor of a launched VM is free for other clients") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    Instance vm = co_await Instance::launch(test::small_vm(qemu, dir), test::for_test());
    QmpClient other(co_await asio::this_coro::executor);
    co_await other.connect(vm.monitor());
    const Json name = co_await other.execute("query-name");
    CHECK(name.at("name").as_string() == "vm");
    struct stat socket {};
    REQUIRE(::stat((dir / "vm.sock").c_str(), &socket) == 0);
    CHECK((socket.st_mode & 0777) == 0600);
  });
}

QEMU_TEST_CASE("The error quotes QEMU when it rejects its command line") {
  const test::TempDir dir;
  VmConfig config = test::small_vm(qemu, dir);
  config.extra_args = {"-device", "nosuch-device"};
  const Error error = launch_error(config);
  CHECK(error.code() == errc::launch_failed);
  CHECK_THAT(error.what(), ContainsSubstring("VM vm") && ContainsSubstring("exit status 1") &&
                               ContainsSubstring("'nosuch-device' is not a valid device model name"));
  CHECK_FALSE(std::filesystem::exists(dir / "vm.sock"));
  CHECK_FALSE(std::filesystem::exists(dir / "vm.lock"));
  CHECK(std::filesystem::exists(dir / "vm.log"));
}

QEMU_TEST_CASE("Only the output of this run is quoted, not that of an earlier one") {
  const test::TempDir dir;
  VmConfig config = test::small_vm(qemu, dir);
  config.extra_args = {"-device", "first-mistake"};
  launch_error(config);
  config.extra_args = {"-device", "second-mistake"};
  const std::string second = launch_error(config).what();
  CHECK_THAT(second, ContainsSubstring("second-mistake") && !ContainsSubstring("first-mistake"));
}

QEMU_TEST_CASE("A QEMU that ends silently, or is killed, is distinguished from one that reports an error") {
  const test::TempDir dir;
  VmConfig config = test::small_vm(qemu, dir);
  config.qemu_path = faulty_qemu(dir, qemu, "exit 7");
  CHECK_THAT(launch_error(config).what(),
             ContainsSubstring("exit status 7") && ContainsSubstring("QEMU printed nothing"));
  config.qemu_path = faulty_qemu(dir, qemu, "kill -ABRT $$");
  CHECK_THAT(launch_error(config).what(), ContainsSubstring("signal 6"));
}

QEMU_TEST_CASE("A QEMU that never becomes ready is killed at the deadline") {
  const test::TempDir dir;
  VmConfig config = test::small_vm(qemu, dir);
  config.qemu_path = faulty_qemu(dir, qemu, "echo still thinking; exec sleep 60");
  LaunchOptions options = test::for_test();
  options.start_timeout = 300ms;
  const Error error = launch_error(config, std::move(options));
  CHECK(error.code() == errc::launch_failed);
  CHECK_THAT(error.what(), ContainsSubstring("300 ms") && ContainsSubstring("still thinking"));
}

QEMU_TEST_CASE("A cancelled launch leaves nothing behind") {
  const test::TempDir dir;
  VmConfig config = test::small_vm(qemu, dir);
  config.qemu_path = faulty_qemu(dir, qemu, "echo started; exec sleep 60");
  asio::io_context context;
  asio::cancellation_signal cancel;
  std::exception_ptr outcome;
  asio::co_spawn(
      context,
      [&]() -> asio::awaitable<void> {
        // Not kill_on_destruction: there is no Instance to destroy yet.
        Instance vm = co_await Instance::launch(config);
      },
      asio::bind_cancellation_slot(cancel.slot(), [&](std::exception_ptr failure) { outcome = failure; }));
  // The log shows when the process exists.
  const auto deadline = std::chrono::steady_clock::now() + 20s;
  while (!std::filesystem::exists(dir / "vm.log") || std::filesystem::file_size(dir / "vm.log") == 0) {
    REQUIRE(std::chrono::steady_clock::now() < deadline);
    context.run_one_for(10ms);
  }
  cancel.emit(asio::cancellation_type::terminal);
  context.run_for(5s);
  REQUIRE(outcome);
  try {
    std::rethrow_exception(outcome);
  } catch (const std::system_error& error) {
    CHECK(error.code() == std::errc::operation_canceled);
  }
  CHECK_FALSE(std::filesystem::exists(dir / "vm.sock"));
  CHECK_FALSE(std::filesystem::exists(dir / "vm.lock"));
}

QEMU_TEST_CASE("A running VM is not overwritten by another of the same name") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    Instance vm = co_await Instance::launch(test::small_vm(qemu, dir), test::for_test());
    try {
      Instance second = co_await Instance::launch(test::small_vm(qemu, dir), test::for_test());
      FAIL("two VMs have one name");
    } catch (const Error& error) {
      CHECK(error.code() == errc::already_running);
      CHECK_THAT(error.what(), ContainsSubstring(fmt::format("process {}", *vm.pid())));
    }
    QmpClient still_there(co_await asio::this_coro::executor);
    co_await still_there.connect(vm.monitor());
  });
}

QEMU_TEST_CASE("A socket that somebody else listens on is not taken, and a stale one is replaced") {
  const test::TempDir dir;
  const FileDescriptor foreign(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = (dir / "vm.sock").string();
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  REQUIRE(::bind(foreign.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(::listen(foreign.get(), 1) == 0);

  const Error error = launch_error(test::small_vm(qemu, dir));
  CHECK(error.code() == errc::already_running);
  CHECK_THAT(error.what(), ContainsSubstring(fmt::format("process {}", ::getpid())));
  CHECK(std::filesystem::exists(path));

  ::shutdown(foreign.get(), SHUT_RDWR); // nobody listens anymore, but the file remains
  test::run([&]() -> asio::awaitable<void> {
    Instance vm = co_await Instance::launch(test::small_vm(qemu, dir), test::for_test());
    CHECK(vm.state() == State::running);
  });
}

QEMU_TEST_CASE("A VM outlives its Instance and can be attached to by its PID") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    int pid = 0;
    {
      Instance vm = co_await Instance::launch(test::small_vm(qemu, dir));
      pid = *vm.pid();
    }
    Instance again = co_await Instance::attach_by_pid(pid);
    CHECK(again.name() == "vm");
    CHECK(again.state() == State::running);
    CHECK(to_string(again.monitor()) == (dir / "vm.sock").string());
    const StopResult result = co_await again.stop(100ms);
    CHECK(result == StopResult::quit);
  });
  CHECK_FALSE(std::filesystem::exists(dir / "vm.sock"));
}

QEMU_TEST_CASE("A VM is killed together with its Instance if requested") {
  const test::TempDir dir;
  asio::io_context context;
  test::run(context, [&]() -> asio::awaitable<void> {
    std::optional<Instance> vm(co_await Instance::launch(test::small_vm(qemu, dir), test::for_test()));
    const int pid = *vm->pid();
    Instance watcher = co_await Instance::attach_by_pid(pid);
    vm.reset();
    const VmStatus end = co_await watcher.wait();
    CHECK(end.state == State::crashed);
    CHECK_FALSE(std::filesystem::exists(dir / "vm.sock"));
  });
}

QEMU_TEST_CASE("The guest's serial output is available from the first byte") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    VmConfig config = test::small_vm(qemu, dir);
    config.serials.emplace_back();
    LaunchOptions options = test::for_test();
    options.connect_serials = true;
    options.paused = true;
    Instance vm = co_await Instance::launch(config, std::move(options));
    const FileDescriptor serial = vm.take_serial(0);
    CHECK_THROWS_AS(vm.take_serial(0), Error);
    CHECK_THROWS_AS(vm.take_serial(1), Error);
    // The transmit register of the first UART of a PC.
    co_await vm.human_monitor_command("o/b 0x3f8 0x51");
    char byte = 0;
    timeval patience{10, 0};
    ::setsockopt(serial.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    CHECK(::recv(serial.get(), &byte, 1, 0) == 1);
    CHECK(byte == 'Q');
  });
}

QEMU_TEST_CASE("An invalid configuration is rejected before anything is created") {
  const test::TempDir dir;
  VmConfig config = test::small_vm(qemu, dir);
  config.name = "../evil";
  CHECK(launch_error(config).code() == errc::invalid_argument);
  config = test::small_vm(qemu, dir);
  config.boot.kernel = (dir / "missing-kernel").string();
  const Error missing = launch_error(config);
  CHECK(missing.code() == errc::not_found);
  CHECK_THAT(missing.what(), ContainsSubstring("missing-kernel"));
  config = test::small_vm(qemu, dir);
  config.socket_dir = (dir / std::string(120, 'x')).string();
  const Error too_long = launch_error(config);
  CHECK(too_long.code() == errc::invalid_argument);
  CHECK_THAT(too_long.what(), ContainsSubstring("socketDir"));
}

QEMU_TEST_CASE("A socket folder that is not writable is an error that names it") {
  const test::TempDir dir;
  VmConfig config = test::small_vm(qemu, dir);
  std::ofstream(dir / "file").flush();
  config.socket_dir = (dir / "file").string();
  CHECK_THAT(launch_error(config).what(), ContainsSubstring((dir / "file").string()) && ContainsSubstring("socketDir"));
}

QEMU_TEST_CASE("Ten VMs launched at once all start, and stop at once") {
  const test::TempDir dir;
  asio::io_context context;
  int running = 0;
  for (int i = 0; i < 10; ++i)
    asio::co_spawn(
        context,
        [&, i]() -> asio::awaitable<void> {
          Instance vm = co_await Instance::launch(test::small_vm(qemu, dir, fmt::format("vm{}", i)), test::for_test());
          ++running;
          co_await vm.quit();
        },
        [](std::exception_ptr failure) {
          if (failure) std::rethrow_exception(failure);
        });
  context.run_for(60s);
  CHECK(running == 10);
  CHECK(context.stopped());
}

QEMU_TEST_CASE("An executor destroyed with a VM in it leaves nothing behind") {
  const test::TempDir dir;
  auto context = std::make_unique<asio::io_context>();
  bool up = false;
  asio::co_spawn(
      *context,
      [&]() -> asio::awaitable<void> {
        Instance vm = co_await Instance::launch(test::small_vm(qemu, dir), test::for_test());
        up = true;
        co_await vm.wait();
      },
      [](std::exception_ptr) {});
  while (!up) REQUIRE(context->run_one_for(10s) == 1);
  context.reset(); // destroys the coroutine, and with it the Instance
}

QEMU_TEST_CASE("Destroying an Instance ends all waits for it, and nothing keeps the program from exiting") {
  const test::TempDir dir;
  asio::io_context context;
  int pid = 0;
  std::exception_ptr waiting;
  bool subscription_ended = false;
  test::run(context, [&]() -> asio::awaitable<void> {
    std::optional<Instance> vm(co_await Instance::launch(test::small_vm(qemu, dir)));
    pid = *vm->pid();
    asio::co_spawn(context, vm->wait(), [&](std::exception_ptr failure, const VmStatus&) { waiting = failure; });
    asio::co_spawn(
        context,
        [](StatusSubscription changes, bool& ended) -> asio::awaitable<void> {
          while (co_await changes.next()) {
          }
          ended = true;
        }(vm->subscribe_status(), subscription_ended),
        asio::detached);
    co_await vm->query_status();
    vm.reset();
  });
  const auto begin = std::chrono::steady_clock::now();
  context.restart();
  context.run_for(20s); // returns as soon as nothing is left to do
  CHECK(std::chrono::steady_clock::now() - begin < 500ms);
  CHECK(subscription_ended);
  REQUIRE(waiting);
  try {
    std::rethrow_exception(waiting);
  } catch (const Error& error) {
    CHECK(error.code() == errc::disconnected);
  }
  test::run([&]() -> asio::awaitable<void> {
    Instance again = co_await Instance::attach_by_pid(pid);
    CHECK(again.state() == State::running);
    co_await again.force_stop();
  });
}
