// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// An Instance and what no QEMU can be brought to say.
#include "catch.hpp"
#include "run.hpp"
#include "scripted_qmp_server.hpp"

#include <qemuctl/instance.hpp>

using namespace qemuctl;
using namespace std::chrono_literals;
using test::QmpPeer;
using test::ScriptedQmpServer;

namespace {

/// Up to the end of `Instance::attach`.
void attach(QmpPeer& peer) {
  peer.negotiate();
  peer.reply(peer.expect("query-name"), Json::object({{"name", "scripted"}}));
  peer.reply(peer.expect("query-status"), Json::object({{"status", "running"}, {"running", true}}));
}

} // namespace

TEST_CASE("A rejected unplug is reported, and a rejection for another device is not mistaken for it") {
  ScriptedQmpServer server([](QmpPeer& peer) {
    attach(peer);
    const auto command = peer.expect("device_del");
    peer.reply(command);
    for (const char* id : {"other", "dimm"})
      peer.event("DEVICE_UNPLUG_GUEST_ERROR",
                 Json::object({{"device", id}, {"path", std::string("/machine/peripheral/") + id}}));
    peer.wait_until_closed();
  });
  test::run([&]() -> asio::awaitable<void> {
    Instance vm = co_await Instance::attach(server.address());
    const UnplugResult result = co_await vm.device_del("dimm", 10s);
    CHECK(result == UnplugResult::rejected);
  });
  server.finish();
}

TEST_CASE("An unplug that QEMU never replies to ends at its timeout") {
  ScriptedQmpServer server([](QmpPeer& peer) {
    attach(peer);
    peer.expect("device_del");
    peer.wait_until_closed();
  });
  test::run([&]() -> asio::awaitable<void> {
    Instance vm = co_await Instance::attach(server.address());
    const auto begin = std::chrono::steady_clock::now();
    const UnplugResult result = co_await vm.device_del("pen", 200ms);
    CHECK(result == UnplugResult::timed_out);
    CHECK(std::chrono::steady_clock::now() - begin < 10s);
  });
  server.finish();
}
