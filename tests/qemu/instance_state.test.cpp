// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "machine.hpp"
#include "run.hpp"
#include "small_vm.hpp"
#include "temp_dir.hpp"

#include <qemuctl/instance.hpp>

#include <csignal>

using namespace qemuctl;
using namespace std::chrono_literals;
using test::status_with;

QEMU_TEST_CASE("A launched VM runs and reports its identity") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    Instance vm = co_await Instance::launch(test::small_vm(qemu, dir), test::for_test());
    CHECK(vm.state() == State::running);
    CHECK(vm.status().run_state == "running");
    CHECK(vm.name() == "vm");
    CHECK(vm.accelerator() == "tcg");
    CHECK(vm.qemu().major >= 7);
    CHECK(vm.pid().value_or(0) > 0);
    CHECK(to_string(vm.monitor()) == (dir / "vm.sock").string());
    CHECK(vm.log_file() == dir / "vm.log");
  });
}

QEMU_TEST_CASE("Pause, resume and reset are reported as QEMU reports them") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    LaunchOptions options = test::for_test();
    options.paused = true;
    Instance vm = co_await Instance::launch(test::small_vm(qemu, dir), std::move(options));
    StatusSubscription changes = vm.subscribe_status();
    co_await status_with(changes, State::prelaunch);

    co_await vm.resume();
    co_await status_with(changes, State::running);
    co_await vm.pause();
    co_await status_with(changes, State::paused);
    // The CPUs stay stopped, which QEMU calls "prelaunch": neither running nor paused.
    co_await vm.reset();
    const VmStatus after_reset = co_await status_with(changes, State::prelaunch);
    CHECK(after_reset.run_state == "prelaunch");
    const VmStatus asked = co_await vm.query_status();
    CHECK(asked.state == State::prelaunch);
    co_await vm.resume();
    co_await status_with(changes, State::running);
    co_await vm.reset();
    const VmStatus running = co_await vm.query_status();
    CHECK(running.state == State::running);
  });
}

QEMU_TEST_CASE("A VM that is told to quit is shutdown, with the reason") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    Instance vm = co_await Instance::launch(test::small_vm(qemu, dir), test::for_test());
    StatusSubscription changes = vm.subscribe_status();
    co_await vm.quit();
    const VmStatus end = co_await vm.wait();
    CHECK(end.state == State::shutdown);
    CHECK(end.reason == "host-qmp-quit");
    CHECK_FALSE(end.process_alive);
    CHECK(end.exit_code == 0);
    // A subscription delivers the end last, and then ends, too.
    std::optional<VmStatus> last;
    while (auto change = co_await changes.next(5s)) last = change;
    REQUIRE(last);
    CHECK(*last == end);
    CHECK_FALSE(std::filesystem::exists(dir / "vm.sock"));
    CHECK_FALSE(std::filesystem::exists(dir / "vm.lock"));
  });
}

QEMU_TEST_CASE("A VM that gets SIGTERM is shutdown, and one that gets SIGKILL has crashed") {
  const test::TempDir dir;
  const int signal = GENERATE(SIGTERM, SIGKILL);
  test::run([&]() -> asio::awaitable<void> {
    Instance vm = co_await Instance::launch(test::small_vm(qemu, dir), test::for_test());
    ::kill(*vm.pid(), signal);
    const VmStatus end = co_await vm.wait();
    CHECK_FALSE(end.process_alive);
    if (signal == SIGTERM) {
      CHECK(end.state == State::shutdown);
      CHECK(end.reason == "host-signal");
      CHECK(end.exit_code == 0);
    } else {
      CHECK(end.state == State::crashed);
      CHECK(end.signal == SIGKILL);
    }
    // Our files are gone, although a killed QEMU removes nothing.
    CHECK_FALSE(std::filesystem::exists(dir / "vm.sock"));
  });
}

QEMU_TEST_CASE("A guest panic is a crash, whatever QEMU does next") {
  const test::TempDir dir;
  const std::string action = GENERATE("pause", "shutdown");
  test::run([&]() -> asio::awaitable<void> {
    VmConfig config = test::small_vm(qemu, dir);
    config.extra_args = test::words("-device", "pvpanic", "-action", "panic=" + action);
    Instance vm = co_await Instance::launch(config, test::for_test());
    StatusSubscription changes = vm.subscribe_status();
    // As a guest's kernel does: notify the device at port 0x505.
    co_await vm.human_monitor_command("o/b 0x505 1");
    const VmStatus status = co_await status_with(changes, State::crashed);
    if (action == "pause") {
      CHECK(status.run_state == "guest-panicked");
      CHECK(status.process_alive);
    } else {
      const VmStatus end = co_await vm.wait();
      CHECK(end.state == State::crashed);
      CHECK(end.reason == "guest-panic");
    }
  });
}

QEMU_TEST_CASE("A guest stopped by an I/O error is paused, with the reason") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    VmConfig config = test::small_vm(qemu, dir);
    // The firmware reads the first sector to see whether it can boot from it.
    config.extra_args =
        test::words("-blockdev",
                    R"({"driver":"blkdebug","node-name":"bad","image":{"driver":"null-co","size":1048576},)"
                    R"("inject-error":[{"event":"none","iotype":"read","errno":5,"once":false}]})",
                    "-device", R"({"driver":"virtio-blk-pci","drive":"bad","rerror":"stop","bootindex":0})");
    LaunchOptions options = test::for_test();
    options.paused = true;
    Instance vm = co_await Instance::launch(config, std::move(options));
    StatusSubscription changes = vm.subscribe_status();
    co_await vm.resume();
    const VmStatus status = co_await status_with(changes, State::paused);
    CHECK(status.run_state == "io-error");
    CHECK(status.reason == "io-error");
  });
}

QEMU_TEST_CASE("A guest stopped by its watchdog is paused, with the reason, until it is reset") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    VmConfig config = test::small_vm(qemu, dir);
    config.extra_args = test::words("-device", "ib700", "-action", "watchdog=pause");
    Instance vm = co_await Instance::launch(config, test::for_test());
    StatusSubscription changes = vm.subscribe_status();
    EventSubscription barks = vm.subscribe_events(events_named(test::words("WATCHDOG")));
    // As a guest's driver does: set the timer, here to its minimum.
    co_await vm.human_monitor_command("o/b 0x443 0xf");
    const VmStatus status = co_await status_with(changes, State::paused);
    CHECK(status.run_state == "watchdog");
    CHECK(status.reason == "watchdog");
    const auto bark = co_await barks.next(10s);
    REQUIRE(bark);
    CHECK(bark->data.at("action").as_string() == "pause");
    co_await vm.reset();
    co_await vm.resume();
    co_await status_with(changes, State::running);
  });
}

QEMU_TEST_CASE("A QEMU that does not respond is unknown when queried, and known again as soon as it responds") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    LaunchOptions options = test::for_test();
    options.qmp.command_timeout = 300ms;
    Instance vm = co_await Instance::launch(test::small_vm(qemu, dir), std::move(options));
    StatusSubscription changes = vm.subscribe_status();
    co_await status_with(changes, State::running);
    ::kill(*vm.pid(), SIGSTOP);
    const VmStatus silent = co_await vm.query_status();
    CHECK(silent.state == State::unknown);
    CHECK(silent.process_alive);
    CHECK_THAT(silent.reason, Catch::Matchers::ContainsSubstring("no reply within"));
    co_await status_with(changes, State::unknown);
    // Nobody asks again, and no event arrives.
    ::kill(*vm.pid(), SIGCONT);
    const VmStatus back = co_await status_with(changes, State::running);
    CHECK(back.reason.empty());
  });
}

QEMU_TEST_CASE("A status subscription that is not read reports how much it lost") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    Instance vm = co_await Instance::launch(test::small_vm(qemu, dir), test::for_test());
    StatusSubscription small = vm.subscribe_status(1);
    StatusSubscription all = vm.subscribe_status();
    for (int i = 0; i < 3; ++i) {
      co_await vm.pause();
      co_await status_with(all, State::paused);
      co_await vm.resume();
      co_await status_with(all, State::running);
    }
    const auto seen = co_await small.next();
    REQUIRE(seen);
    CHECK(seen->state == State::running);
    CHECK(seen->lost == 6);
  });
}
