// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "demo.hpp"
#include "machine.hpp"
#include "run.hpp"
#include "temp_dir.hpp"

#include <qemuctl/instance.hpp>

#include <asio/posix/stream_descriptor.hpp>
#include <asio/read.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>
#include <sys/socket.h>

#include <array>

using namespace qemuctl;
using namespace std::chrono_literals;
using test::demo_vm;
using test::patience;
using test::SerialConsole;
using test::with_console;

QEMU_TEST_CASE("A guest shuts down when its power button is pressed") {
  const test::TempDir dir;
  test::run(
      [&]() -> asio::awaitable<void> {
        Instance vm = co_await Instance::launch(demo_vm(qemu, dir), with_console());
        SerialConsole console(co_await asio::this_coro::executor, vm);
        co_await console.until("qemuctl-demo: up");
        const StopResult result = co_await vm.stop(patience);
        CHECK(result == StopResult::guest_shut_down);
        CHECK(vm.status().reason == "guest-shutdown");
        CHECK(vm.status().exit_code == 0);
      },
      patience);
}

QEMU_TEST_CASE("A guest boots again after a reset and after rebooting itself, and stays the same VM") {
  const test::TempDir dir;
  test::run(
      [&]() -> asio::awaitable<void> {
        Instance vm = co_await Instance::launch(demo_vm(qemu, dir), with_console());
        const auto pid = vm.pid();
        EventSubscription resets = vm.subscribe_events(events_named(std::vector<std::string>(1, "RESET")));
        SerialConsole console(co_await asio::this_coro::executor, vm);
        co_await console.until("qemuctl-demo: up");
        co_await vm.reset();
        co_await console.until("qemuctl-demo: up");
        const auto ours = co_await resets.next(1s);
        REQUIRE(ours);
        CHECK_FALSE(ours->data.at("guest").as_bool());
        co_await console.type("reboot -f\n");
        co_await console.until("qemuctl-demo: up");
        const auto guests = co_await resets.next(1s);
        REQUIRE(guests);
        CHECK(guests->data.at("guest").as_bool());
        const VmStatus status = co_await vm.query_status();
        CHECK(status.state == State::running);
        CHECK(vm.pid() == pid);
        co_await vm.force_stop();
      },
      patience);
}

QEMU_TEST_CASE("A guest that powers itself off has shut down") {
  const test::TempDir dir;
  test::run(
      [&]() -> asio::awaitable<void> {
        Instance vm = co_await Instance::launch(demo_vm(qemu, dir), with_console());
        SerialConsole console(co_await asio::this_coro::executor, vm);
        co_await console.until("qemuctl-demo: up");
        co_await console.type("poweroff -f\n");
        const VmStatus end = co_await vm.wait();
        CHECK(end.state == State::shutdown);
        CHECK(end.reason == "guest-shutdown");
      },
      patience);
}

QEMU_TEST_CASE("A full VNC handshake works over a descriptor handed to a running guest") {
  const test::TempDir dir;
  test::run(
      [&]() -> asio::awaitable<void> {
        VmConfig config = demo_vm(qemu, dir);
        config.display.type = "vnc";
        config.display.video.type = "VGA";
        Instance vm = co_await Instance::launch(std::move(config), with_console());
        SerialConsole console(co_await asio::this_coro::executor, vm);
        co_await console.until("qemuctl-demo: up");

        int pair[2];
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
        asio::posix::stream_descriptor client(co_await asio::this_coro::executor, pair[0]);
        co_await vm.add_vnc_client(FileDescriptor(pair[1]), true);

        // RFC 6143, section 7.1: version, security type 1 (none), its result, ClientInit, ServerInit.
        std::string version(12, '\0');
        co_await asio::async_read(client, asio::buffer(version), asio::use_awaitable);
        CHECK(version == "RFB 003.008\n");
        co_await asio::async_write(client, asio::buffer(version), asio::use_awaitable);
        std::array<unsigned char, 2> security{};
        co_await asio::async_read(client, asio::buffer(security), asio::use_awaitable);
        CHECK(security[0] == 1);
        CHECK(security[1] == 1);
        co_await asio::async_write(client, asio::buffer(security, 1), asio::use_awaitable);
        std::array<unsigned char, 4> result{};
        co_await asio::async_read(client, asio::buffer(result), asio::use_awaitable);
        CHECK(result[3] == 0);
        co_await asio::async_write(client, asio::buffer(security, 1), asio::use_awaitable); // shared: yes
        std::array<unsigned char, 24> init{};
        co_await asio::async_read(client, asio::buffer(init), asio::use_awaitable);
        std::string name(init[23], '\0');
        co_await asio::async_read(client, asio::buffer(name), asio::use_awaitable);
        CHECK(name == "QEMU (demo)");
        const int width = init[0] * 256 + init[1];
        CHECK(width >= 640);
        co_await vm.force_stop();
      },
      patience);
}

QEMU_TEST_CASE("A guest that suspends itself to RAM is suspended until it is woken up") {
  const test::TempDir dir;
  test::run(
      [&]() -> asio::awaitable<void> {
        Instance vm = co_await Instance::launch(demo_vm(qemu, dir), with_console());
        StatusSubscription changes = vm.subscribe_status();
        const std::vector<std::string> names{"SUSPEND", "WAKEUP"};
        EventSubscription events = vm.subscribe_events(events_named(names));
        SerialConsole console(co_await asio::this_coro::executor, vm);
        co_await console.until("qemuctl-demo: up");
        co_await console.prompt();
        co_await console.type("echo mem > /sys/power/state\n");
        VmStatus status;
        while (status.state != State::suspended) status = (co_await changes.next(patience)).value();
        CHECK(status.run_state == "suspended");
        CHECK(status.reason.empty());
        // It does not run, and only a wake-up changes that.
        co_await vm.resume();
        status = co_await vm.query_status();
        CHECK(status.state == State::suspended);
        co_await vm.wake_up();
        while (status.state != State::running) status = (co_await changes.next(patience)).value();
        // Whether its kernel resumes is not our concern: under TCG this one does not always get far.
        for (const std::string& name : names) {
          const auto event = events.try_next();
          REQUIRE(event);
          CHECK(event->name == name);
        }
        co_await vm.force_stop();
      },
      patience);
}
