// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "machine.hpp"
#include "processes.hpp"
#include "run.hpp"
#include "small_vm.hpp"
#include "temp_dir.hpp"

#include <qemuctl/instance.hpp>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/post.hpp>
#include <asio/this_coro.hpp>
#include <fmt/format.h>

#include <csignal>
#include <fstream>

using namespace qemuctl;
using namespace std::chrono_literals;
using test::status_with;

QEMU_TEST_CASE("A guest that ignores the power button is stopped by making QEMU quit") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    Instance vm = co_await Instance::launch(test::small_vm(qemu, dir), test::for_test());
    EventSubscription pressed = vm.subscribe_events(events_named(test::words("POWERDOWN")));
    const StopResult first = co_await vm.stop(200ms);
    CHECK(first == StopResult::quit);
    CHECK(pressed.try_next());
    CHECK(vm.state() == State::shutdown);
    const StopResult second = co_await vm.stop(200ms);
    CHECK(second == StopResult::already_stopped);
  });
}

QEMU_TEST_CASE("A QEMU that does not respond is finally killed, and stop says so") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    Instance vm = co_await Instance::launch(test::small_vm(qemu, dir), test::for_test());
    ::kill(*vm.pid(), SIGSTOP);
    const auto begin = std::chrono::steady_clock::now();
    const StopResult result = co_await vm.stop(100ms);
    CHECK(result == StopResult::killed);
    CHECK(std::chrono::steady_clock::now() - begin < 15s);
    CHECK_FALSE(vm.status().process_alive);
  });
}

QEMU_TEST_CASE("Force kills at once") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    Instance vm = co_await Instance::launch(test::small_vm(qemu, dir), test::for_test());
    co_await vm.force_stop();
    CHECK(vm.state() == State::crashed);
    CHECK(vm.status().signal == SIGKILL);
    co_await vm.force_stop(); // nothing left to do
    co_await vm.quit();
  });
}

QEMU_TEST_CASE("A VM whose guest has ended is stopped although QEMU would stay") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    VmConfig config = test::small_vm(qemu, dir);
    config.extra_args = test::words("-action", "shutdown=pause,reboot=shutdown");
    Instance vm = co_await Instance::launch(config, test::for_test());
    StatusSubscription changes = vm.subscribe_status();
    // A guest reboots by writing to the reset register, which shuts down here.
    co_await vm.human_monitor_command("o/b 0xcf9 6");
    const VmStatus ended = co_await status_with(changes, State::shutdown);
    CHECK(ended.process_alive);
    const StopResult result = co_await vm.stop(5s);
    CHECK(result == StopResult::guest_shut_down);
    CHECK_FALSE(vm.status().process_alive);
  });
}

QEMU_TEST_CASE("Requests to a VM that has ended report that it has ended") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    Instance vm = co_await Instance::launch(test::small_vm(qemu, dir), test::for_test());
    co_await vm.quit();
    try {
      co_await vm.pause();
      FAIL("a VM that has ended was paused");
    } catch (const Error& error) {
      CHECK(error.code() == errc::disconnected);
      CHECK_THAT(error.what(), Catch::Matchers::ContainsSubstring("the VM has ended (shutdown: host-qmp-quit)"));
    }
    const VmStatus status = co_await vm.query_status();
    CHECK(status.state == State::shutdown);
  });
}

QEMU_TEST_CASE("Calls in flight when the VM is killed end with an unknown outcome") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    Instance vm = co_await Instance::launch(test::small_vm(qemu, dir), test::for_test());
    ::kill(*vm.pid(), SIGSTOP);
    const auto executor = co_await asio::this_coro::executor;
    asio::post(executor, [pid = *vm.pid()] { ::kill(pid, SIGKILL); }); // runs when the command has been sent
    try {
      co_await vm.execute("query-version");
      FAIL("a killed process answered");
    } catch (const Error& error) {
      CHECK(error.code() == errc::interrupted);
    }
  });
}

QEMU_TEST_CASE("A QEMU that somebody else told to quit is reported as quit, whatever was asked of its guest") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    const auto executor = co_await asio::this_coro::executor;
    Instance vm = co_await Instance::launch(test::small_vm(qemu, dir), test::for_test());
    Instance other = co_await Instance::attach(vm.monitor());
    EventSubscription pressed = other.subscribe_events(events_named(test::words("POWERDOWN")));
    asio::co_spawn(
        executor,
        [&]() -> asio::awaitable<void> {
          co_await pressed.next(10s);
          co_await other.quit();
        },
        asio::detached);
    const StopResult result = co_await vm.stop(15s);
    CHECK(result == StopResult::quit);
    CHECK(vm.status().reason == "host-qmp-quit");
    co_await other.wait();
  });
}

QEMU_TEST_CASE("A guest that has panicked is not asked to shut down: QEMU is told to quit at once") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    VmConfig config = test::small_vm(qemu, dir);
    config.extra_args = test::words("-device", "pvpanic", "-action", "panic=pause");
    Instance vm = co_await Instance::launch(config, test::for_test());
    StatusSubscription changes = vm.subscribe_status();
    EventSubscription pressed = vm.subscribe_events(events_named(test::words("POWERDOWN")));
    co_await vm.human_monitor_command("o/b 0x505 1");
    co_await status_with(changes, State::crashed);
    const auto begin = std::chrono::steady_clock::now();
    const StopResult result = co_await vm.stop(15s);
    CHECK(result == StopResult::quit);
    CHECK(std::chrono::steady_clock::now() - begin < 10s);
    CHECK_FALSE(pressed.try_next());
  });
}

QEMU_TEST_CASE("Stopping a VM also ends a QEMU that a script started as its child") {
  const test::TempDir dir;
  const std::filesystem::path script = dir / "qemu-wrapper";
  // The probe starts QEMU without a name, and may kill it.
  std::ofstream(script) << fmt::format("#!/bin/sh\ncase \"$*\" in *-name*) '{0}' \"$@\"; exit $?;; esac\n"
                                       "exec '{0}' \"$@\"\n",
                                       qemu.string());
  std::filesystem::permissions(script, std::filesystem::perms::owner_all);
  const std::string mark = fmt::format("name=opt/mark,string={}", dir.path().string());
  test::run([&]() -> asio::awaitable<void> {
    VmConfig config = test::small_vm(script, dir);
    config.extra_args = test::words("-fw_cfg", mark);
    Instance vm = co_await Instance::launch(config, test::for_test());
    const int wrapper = *vm.pid();
    co_await vm.force_stop();
    CHECK(::kill(wrapper, 0) != 0);
    CHECK_FALSE(vm.pid());
    CHECK(vm.state() == State::shutdown);
    CHECK_FALSE(vm.status().process_alive);
  });
  const FileDescriptor left = test::process_with(mark);
  CHECK((!left || test::ends(left)));
}
