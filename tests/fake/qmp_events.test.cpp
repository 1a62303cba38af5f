// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "expect_error.hpp"
#include "run.hpp"
#include "scripted_qmp_server.hpp"

#include <qemuctl/qmp_client.hpp>

#include <asio/this_coro.hpp>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace qemuctl;
using namespace std::chrono_literals;
using test::QmpPeer;
using test::ScriptedQmpServer;

namespace {

/// Sends what `flood` sends between negotiation and the reply to a command, by which the client knows that it has come.
ScriptedQmpServer::Script sending(std::function<void(QmpPeer&)> flood) {
  return [flood = std::move(flood)](QmpPeer& peer) {
    peer.negotiate();
    const auto command = peer.expect("sync");
    flood(peer);
    peer.reply(command);
  };
}

void send_numbered(QmpPeer& peer, int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += QmpPeer::event_text("COUNT", Json::object({{"number", i}}));
  peer.send(text);
}

int number_of(const std::optional<Event>& event) {
  return static_cast<int>(event.value().data.at("number").as_int());
}

} // namespace

TEST_CASE("an event between qmp_capabilities and its reply is delivered") {
  ScriptedQmpServer server([](QmpPeer& peer) {
    peer.greet();
    const auto negotiation = peer.expect("qmp_capabilities");
    peer.event("RTC_CHANGE", Json::object({{"offset", 1}}));
    peer.reply(negotiation);
    peer.wait_until_closed();
  });
  test::run([&]() -> asio::awaitable<void> {
    QmpClient client(co_await asio::this_coro::executor);
    EventSubscription events = client.subscribe();
    co_await client.connect(server.address());
    const auto event = events.try_next();
    REQUIRE(event);
    CHECK(event->name == "RTC_CHANGE");
    CHECK(event->data.at("offset") == 1);
    CHECK(event->timestamp.time_since_epoch() == 1'700'000'000s + 250ms);
    CHECK(event->lost == 0);
    CHECK_FALSE(events.try_next());
  });
  server.finish();
}

TEST_CASE("events keep their order, and each subscription gets those that pass its filter") {
  ScriptedQmpServer server(sending([](QmpPeer& peer) {
    for (const auto* name : {"STOP", "RESUME", "RESET", "STOP"}) peer.event(name);
  }));
  test::run([&]() -> asio::awaitable<void> {
    QmpClient client(co_await asio::this_coro::executor);
    EventSubscription all = client.subscribe();
    EventSubscription some = client.subscribe(events_named({"STOP", "RESET"}));
    EventSubscription none = client.subscribe([](const Event&) { return false; });
    co_await client.connect(server.address());
    co_await client.execute("sync");
    const auto names = [](EventSubscription& events) {
      std::vector<std::string> result;
      while (const auto event = events.try_next()) result.push_back(event->name);
      return result;
    };
    CHECK(names(all) == std::vector<std::string>{"STOP", "RESUME", "RESET", "STOP"});
    CHECK(names(some) == std::vector<std::string>{"STOP", "RESET", "STOP"});
    CHECK(names(none).empty());
  });
  server.finish();
}

TEST_CASE("a full subscription drops the oldest events and reports how many") {
  const auto capacity = GENERATE(std::size_t{0}, std::size_t{1}, std::size_t{10});
  ScriptedQmpServer server(sending([](QmpPeer& peer) { send_numbered(peer, 1'000); }));
  test::run([&]() -> asio::awaitable<void> {
    QmpClient client(co_await asio::this_coro::executor);
    EventSubscription small = client.subscribe({}, capacity);
    EventSubscription large = client.subscribe({}, 1'000);
    co_await client.connect(server.address());
    co_await client.execute("sync");
    const int kept = capacity == 0 ? 1 : static_cast<int>(capacity); // at least one
    for (int i = 1'000 - kept; i < 1'000; ++i) {
      const auto event = small.try_next();
      CHECK(number_of(event) == i);
      CHECK(event->lost == (i == 1'000 - kept ? static_cast<std::uint64_t>(1'000 - kept) : 0U));
    }
    CHECK_FALSE(small.try_next());
    for (int i = 0; i < 1'000; ++i) {
      const auto event = large.try_next();
      if (number_of(event) != i || event->lost != 0) FAIL("the large queue lost an event");
    }
  });
  server.finish();
}

TEST_CASE("a reader that falls behind twice sees each loss where it happened") {
  ScriptedQmpServer server([](QmpPeer& peer) {
    peer.negotiate();
    for (int round = 0; round < 2; ++round) {
      const auto command = peer.expect("sync");
      send_numbered(peer, 4);
      peer.reply(command);
    }
  });
  test::run([&]() -> asio::awaitable<void> {
    QmpClient client(co_await asio::this_coro::executor);
    EventSubscription events = client.subscribe({}, 3);
    co_await client.connect(server.address());
    co_await client.execute("sync"); // 1 2 3, one lost
    const auto first = events.try_next();
    CHECK(number_of(first) == 1);
    CHECK(first->lost == 1);
    co_await client.execute("sync"); // 2 3 and then 0 1 2 3: three more lost
    const auto second = events.try_next();
    CHECK(number_of(second) == 1);
    CHECK(second->lost == 3);
    const auto third = events.try_next();
    CHECK(number_of(third) == 2);
    CHECK(third->lost == 0);
  });
  server.finish();
}

TEST_CASE("waiting for an event ends with an event, at the deadline or when the connection ends") {
  ScriptedQmpServer server([](QmpPeer& peer) {
    peer.negotiate();
    peer.expect("leave");
    peer.event("STOP");
    peer.event("SHUTDOWN", Json::object({{"guest", false}, {"reason", "host-qmp-quit"}}));
    peer.close();
  });
  test::run([&]() -> asio::awaitable<void> {
    QmpClient client(co_await asio::this_coro::executor);
    EventSubscription events = client.subscribe();
    co_await client.connect(server.address());
    const auto start = std::chrono::steady_clock::now();
    const Error error = co_await test::error_of(events.next(50ms));
    CHECK(error.code() == errc::timed_out);
    CHECK(std::chrono::steady_clock::now() - start >= 50ms);

    const Error lost = co_await test::error_of(client.execute("leave"));
    CHECK(lost.code() == errc::interrupted);
    const auto stop = co_await events.next();
    CHECK(stop.value().name == "STOP");
    const auto shutdown = co_await events.next(0ms); // already queued
    CHECK(shutdown.value().data.at("reason") == "host-qmp-quit");
    const auto over = co_await events.next();
    CHECK_FALSE(over);
    const auto still_over = co_await events.next(0ms);
    CHECK_FALSE(still_over);
    const ConnectionEnd end = co_await client.wait_closed();
    CHECK(end.kind == ConnectionEnd::Kind::clean); // it was announced
  });
  server.finish();
}

TEST_CASE("a subscription may outlive its client, and keeps what was queued") {
  ScriptedQmpServer server(sending([](QmpPeer& peer) { peer.event("STOP"); }));
  test::run([&]() -> asio::awaitable<void> {
    EventSubscription events;
    const auto nothing = co_await events.next();
    CHECK_FALSE(nothing);
    {
      QmpClient client(co_await asio::this_coro::executor);
      events = client.subscribe();
      co_await client.connect(server.address());
      co_await client.execute("sync");
    }
    const auto stop = co_await events.next();
    CHECK(stop.value().name == "STOP");
    const auto over = co_await events.next();
    CHECK_FALSE(over);
  });
  server.finish();
}

TEST_CASE("a subscription made after the connection has ended is over at once") {
  test::run([&]() -> asio::awaitable<void> {
    QmpClient client(co_await asio::this_coro::executor);
    client.close();
    EventSubscription events = client.subscribe();
    const auto over = co_await events.next();
    CHECK_FALSE(over);
  });
}

TEST_CASE("destroyed and replaced subscriptions receive nothing, and filters may subscribe and unsubscribe") {
  ScriptedQmpServer server(sending([](QmpPeer& peer) { send_numbered(peer, 5); }));
  test::run([&]() -> asio::awaitable<void> {
    QmpClient client(co_await asio::this_coro::executor);
    int seen = 0;
    std::vector<EventSubscription> more;
    EventSubscription kept = client.subscribe([&](const Event&) {
      more.push_back(client.subscribe());
      if (more.size() == 2) more.clear();
      return true;
    });
    {
      EventSubscription destroyed = client.subscribe([&](const Event&) { return ++seen > 0; });
    }
    EventSubscription replaced = client.subscribe([&](const Event&) { return ++seen > 0; });
    replaced = client.subscribe();
    co_await client.connect(server.address());
    co_await client.execute("sync");
    CHECK(seen == 0);
    int count = 0;
    while (kept.try_next()) ++count;
    CHECK(count == 5);
    count = 0;
    while (replaced.try_next()) ++count;
    CHECK(count == 5);
  });
  server.finish();
}

TEST_CASE("a filter that subscribes takes no events from existing subscriptions") {
  ScriptedQmpServer server(sending([](QmpPeer& peer) {
    for (const auto* name : {"STOP", "RESUME"}) peer.event(name);
  }));
  test::run([&]() -> asio::awaitable<void> {
    QmpClient client(co_await asio::this_coro::executor);
    auto gone = std::make_unique<EventSubscription>(client.subscribe());
    EventSubscription added;
    EventSubscription first = client.subscribe([&](const Event& event) {
      if (event.name == "STOP") added = client.subscribe();
      return true;
    });
    EventSubscription second = client.subscribe();
    gone.reset(); // a removable entry precedes the others
    co_await client.connect(server.address());
    co_await client.execute("sync");
    for (EventSubscription* events : {&first, &second}) {
      const auto stop = events->try_next();
      REQUIRE(stop);
      CHECK(stop->name == "STOP");
      const auto resume = events->try_next();
      REQUIRE(resume);
      CHECK(resume->name == "RESUME");
    }
    const auto later = added.try_next();
    REQUIRE(later);
    CHECK(later->name == "RESUME");
  });
  server.finish();
}
