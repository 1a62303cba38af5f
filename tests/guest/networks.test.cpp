// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// Packets of guests.
#include "catch.hpp"
#include "demo.hpp"
#include "machine.hpp"
#include "network_namespace.hpp"
#include "run.hpp"
#include "temp_dir.hpp"
#include "vde_switch.hpp"

#include <qemuctl/instance.hpp>

#include <asio/this_coro.hpp>
#include <fmt/format.h>

#include <string>

using namespace qemuctl;
using Catch::Matchers::ContainsSubstring;
using test::demo_vm;
using test::patience;
using test::SerialConsole;
using test::with_console;

namespace {

template<class Backend>
void connect(VmConfig& config, Backend backend) {
  config.networks.emplace_back().backend = std::move(backend);
}

/// The shell's line that gives an interface an address.
std::string set_up(const std::string& interface, const std::string& address) {
  return fmt::format("ip addr add {0}/24 dev {1} && ip link set {1} up", address, interface);
}

/// One that gets an answer from there; the first packets are lost when the other side is not ready.
std::string ping(const std::string& address) {
  return fmt::format("until ping -c 1 -W 1 {}; do :; done", address);
}

} // namespace

QEMU_TEST_CASE("A guest is reachable over its TAP interface, and reaches the host") {
  const test::NetworkNamespace space;
  const test::TempDir dir;
  VmConfig config = demo_vm(qemu, dir);
  TapNetBackend tap;
  tap.ifname = "tap7";
  connect(config, tap);
  test::run(
      [&]() -> asio::awaitable<void> {
        Instance vm = co_await Instance::launch(config, with_console());
        test::shell("ip addr add 192.0.2.1/24 dev tap7");
        SerialConsole console(co_await asio::this_coro::executor, vm);
        co_await console.prompt();
        const std::string pinged = co_await console.run(set_up("eth0", "192.0.2.2") + "; " + ping("192.0.2.1"));
        CHECK_THAT(pinged, ContainsSubstring("1 packets received"));
        // The replies went the other way, so the host now knows who has the address.
        const std::string neighbour = test::shell("ip neigh show 192.0.2.2");
        CHECK_THAT(neighbour, ContainsSubstring("dev tap7 lladdr 52:54:00:"));
        co_await vm.force_stop();
      },
      patience);
}

QEMU_TEST_CASE("Two guests reach each other over a Unix socket and through a VDE switch") {
  const test::TempDir dir;
  const test::VdeSwitch vde(dir / "switch");
  const auto guest = [&](const std::string& name, bool server) {
    VmConfig config = demo_vm(qemu, dir, name);
    StreamNetBackend stream;
    stream.path = dir / "net.sock";
    stream.server = server;
    connect(config, stream);
    VdeNetBackend plug;
    plug.sock = dir / "switch";
    connect(config, plug);
    return config;
  };
  test::run(
      [&]() -> asio::awaitable<void> {
        Instance one = co_await Instance::launch(guest("one", true), with_console());
        Instance other = co_await Instance::launch(guest("other", false), with_console());
        SerialConsole here(co_await asio::this_coro::executor, one);
        SerialConsole there(co_await asio::this_coro::executor, other);
        co_await here.prompt();
        co_await there.prompt();
        co_await here.run(set_up("eth0", "192.0.2.1") + "; " + set_up("eth1", "198.51.100.1"));
        co_await there.run(set_up("eth0", "192.0.2.2") + "; " + set_up("eth1", "198.51.100.2"));
        const std::string by_socket = co_await there.run(ping("192.0.2.1"));
        CHECK_THAT(by_socket, ContainsSubstring("1 packets received"));
        const std::string by_switch = co_await here.run(ping("198.51.100.2"));
        CHECK_THAT(by_switch, ContainsSubstring("1 packets received"));
        co_await one.force_stop();
        co_await other.force_stop();
      },
      patience);
}
