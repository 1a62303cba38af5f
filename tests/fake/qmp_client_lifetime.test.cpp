// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "expect_error.hpp"
#include "run.hpp"
#include "scripted_qmp_server.hpp"

#include <qemuctl/qmp_client.hpp>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/post.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>

#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

using namespace qemuctl;
using namespace std::chrono_literals;
using test::QmpPeer;
using test::ScriptedQmpServer;

namespace {

void serve_nothing(QmpPeer& peer) {
  peer.negotiate();
  peer.wait_until_closed();
}

/// Runs the client until the server has come to a certain point.
void run_until(asio::io_context& context, std::future<void> reached) {
  const auto deadline = std::chrono::steady_clock::now() + 10s;
  while (reached.wait_for(1ms) != std::future_status::ready) {
    REQUIRE(std::chrono::steady_clock::now() < deadline);
    context.restart();
    context.poll();
  }
}

/// Starts `work` and lets it run until it waits for something.
template<typename T>
struct Background {
  Background(asio::io_context& context, asio::awaitable<T> work) {
    asio::co_spawn(context, store(std::move(work), outcome),
                   asio::bind_cancellation_slot(cancel.slot(), asio::detached));
    context.restart();
    while (context.poll() > 0) {
    }
  }

  struct Outcome {
    bool ended = false, cancelled = false;
    std::optional<T> value;
    std::optional<Error> error;
  };

  static asio::awaitable<void> store(asio::awaitable<T> work, std::shared_ptr<Outcome> outcome) {
    try {
      outcome->value.emplace(co_await std::move(work));
    } catch (const Error& error) {
      outcome->error = error;
    } catch (const std::system_error& error) {
      outcome->cancelled = error.code() == std::errc::operation_canceled;
    }
    outcome->ended = true;
  }

  const Outcome& wait(asio::io_context& context) {
    context.restart();
    while (!outcome->ended)
      if (context.run_one_for(10s) == 0) throw std::runtime_error("the coroutine did not end");
    return *outcome;
  }

  std::shared_ptr<Outcome> outcome = std::make_shared<Outcome>();
  asio::cancellation_signal cancel;
};

} // namespace

TEST_CASE("destroying a client ends the calls in flight, whether or not they were sent") {
  // The server reads nothing, so part of the large command and all of the next one remain here.
  std::promise<void> gone;
  ScriptedQmpServer server([&](QmpPeer& peer) {
    peer.negotiate();
    if (gone.get_future().wait_for(10s) != std::future_status::ready) throw std::runtime_error("no end in sight");
  });
  asio::io_context context(1);
  std::optional<QmpClient> client(std::in_place, context.get_executor());
  test::run(context, client->connect(server.address()));
  EventSubscription events = client->subscribe();

  Background sent(context, client->execute("sent"));
  Background begun(context, client->execute("begun", Json::object({{"text", test::more_than_a_socket_holds()}})));
  Background unsent(context, client->execute("unsent"));
  Background event(context, events.next());
  Background closed(context, client->wait_closed());
  CHECK_FALSE(sent.outcome->ended);

  const auto start = std::chrono::steady_clock::now();
  client.reset();
  CHECK(std::chrono::steady_clock::now() - start < 1s);
  CHECK_FALSE(sent.outcome->ended); // no handler runs inside a destructor
  CHECK(sent.wait(context).error.value().code() == errc::interrupted);
  CHECK(begun.wait(context).error.value().code() == errc::interrupted);
  CHECK(unsent.wait(context).error.value().code() == errc::disconnected);
  CHECK_FALSE(event.wait(context).value.value().has_value());
  CHECK(closed.wait(context).value.value().kind == ConnectionEnd::Kind::closed_here);
  gone.set_value();
  server.finish();
}

TEST_CASE("a client may be destroyed while it connects, in any phase") {
  const bool greets = GENERATE(false, true);
  std::promise<void> reached;
  ScriptedQmpServer server([&](QmpPeer& peer) {
    if (greets) {
      peer.greet();
      peer.expect("qmp_capabilities");
    }
    reached.set_value();
    peer.wait_until_closed();
  });
  asio::io_context context(1);
  std::optional<QmpClient> client(std::in_place, context.get_executor());
  auto connecting = [](QmpClient& which, MonitorAddress address) -> asio::awaitable<int> {
    co_await which.connect(std::move(address));
    co_return 0;
  };
  Background connection(context, connecting(*client, server.address()));
  run_until(context, reached.get_future());
  CHECK_FALSE(connection.outcome->ended);
  client.reset();
  CHECK(connection.wait(context).error.value().code() == errc::disconnected);
  server.finish();
}

TEST_CASE("a client may be destroyed while it waits for a TCP connection") {
  // The backlog is full: Linux drops further connection requests, so this one neither succeeds nor fails.
  ScriptedQmpServer server(std::vector<ScriptedQmpServer::Script>{}, ScriptedQmpServer::Transport::tcp);
  asio::io_context context(1);
  std::vector<std::unique_ptr<QmpClient>> clients;
  std::vector<std::unique_ptr<Background<int>>> connections;
  auto connecting = [](QmpClient& which, MonitorAddress address) -> asio::awaitable<int> {
    co_await which.connect(std::move(address));
    co_return 0;
  };
  for (int i = 0; i < 4; ++i) {
    clients.push_back(std::make_unique<QmpClient>(context.get_executor()));
    connections.push_back(std::make_unique<Background<int>>(context, connecting(*clients.back(), server.address())));
    CHECK_FALSE(connections.back()->outcome->ended);
  }
  clients.clear();
  for (auto& connection : connections) CHECK(connection->wait(context).error.value().code() == errc::disconnected);
  server.finish();
}

TEST_CASE("a closed client stays closed, and closing again does nothing") {
  ScriptedQmpServer server(serve_nothing);
  test::run([&]() -> asio::awaitable<void> {
    QmpClient client(co_await asio::this_coro::executor);
    co_await client.connect(server.address());
    client.close();
    client.close();
    CHECK_FALSE(client.is_open());
    CHECK(client.greeting().major == 7);
    const ConnectionEnd end = co_await client.wait_closed();
    CHECK(end.kind == ConnectionEnd::Kind::closed_here);
    const Error error = co_await test::error_of(client.execute("query-status"));
    CHECK(error.code() == errc::disconnected);
  });
  server.finish();
}

TEST_CASE("a client closed before it connects does not connect") {
  ScriptedQmpServer server(std::vector<ScriptedQmpServer::Script>{});
  test::run([&]() -> asio::awaitable<void> {
    QmpClient client(co_await asio::this_coro::executor);
    client.close();
    const Error error = co_await test::error_of(client.connect(server.address()));
    CHECK(error.code() == errc::disconnected);
  });
  server.finish();
}

TEST_CASE("a client is movable, and assigning to one closes its connection") {
  ScriptedQmpServer first(serve_nothing);
  ScriptedQmpServer second([](QmpPeer& peer) {
    peer.negotiate();
    peer.reply(peer.expect("query-name"));
  });
  test::run([&]() -> asio::awaitable<void> {
    const auto executor = co_await asio::this_coro::executor;
    QmpClient client(executor);
    co_await client.connect(first.address());
    QmpClient other(executor);
    co_await other.connect(second.address());
    QmpClient moved(std::move(other));
    client = std::move(moved);
    first.finish(); // its client has left
    co_await client.execute("query-name");
  });
  second.finish();
}

TEST_CASE("waiting for a reply can be cancelled, and the connection stays usable") {
  ScriptedQmpServer server([](QmpPeer& peer) {
    peer.negotiate();
    const auto cancelled = peer.expect("cancelled");
    const auto next = peer.expect("next");
    peer.reply(cancelled, "late");
    peer.reply(next, "right");
  });
  asio::io_context context(1);
  QmpClient client(context.get_executor());
  test::run(context, client.connect(server.address()));
  Background call(context, client.execute("cancelled"));
  CHECK_FALSE(call.outcome->ended);
  call.cancel.emit(asio::cancellation_type::terminal);
  CHECK(call.wait(context).cancelled);
  CHECK(test::run(context, client.execute("next")) == "right");
  server.finish();
}

TEST_CASE("a cancelled command that is partly written is completed, and one not yet started is withdrawn") {
  const std::string large = test::more_than_a_socket_holds();
  std::promise<void> gate;
  ScriptedQmpServer server([&](QmpPeer& peer) {
    peer.negotiate();
    if (gate.get_future().wait_for(10s) != std::future_status::ready) throw std::runtime_error("the gate stayed shut");
    if (peer.expect("begun").arguments.at("text").as_string() != large) throw std::runtime_error("it was cut");
    peer.reply(peer.expect("last"));
  });
  asio::io_context context(1);
  QmpClient client(context.get_executor());
  test::run(context, client.connect(server.address()));
  Background begun(context, client.execute("begun", Json::object({{"text", large}})));
  Background unsent(context, client.execute("unsent"));
  for (auto* call : {&begun, &unsent}) {
    call->cancel.emit(asio::cancellation_type::terminal);
    CHECK(call->wait(context).cancelled);
  }
  gate.set_value();
  test::run(context, client.execute("last"));
  server.finish();
}

TEST_CASE("waiting for an event or for the end of the connection can be cancelled without losing anything") {
  ScriptedQmpServer server([](QmpPeer& peer) {
    peer.negotiate();
    const auto command = peer.expect("sync");
    peer.event("STOP");
    peer.reply(command);
    peer.wait_until_closed();
  });
  asio::io_context context(1);
  QmpClient client(context.get_executor());
  EventSubscription events = client.subscribe();
  test::run(context, client.connect(server.address()));
  Background event(context, events.next());
  Background closed(context, client.wait_closed());
  event.cancel.emit(asio::cancellation_type::terminal);
  closed.cancel.emit(asio::cancellation_type::terminal);
  CHECK(event.wait(context).cancelled);
  CHECK(closed.wait(context).cancelled);
  test::run(context, client.execute("sync"));
  CHECK(test::run(context, events.next()).value().name == "STOP");
  client.close();
  CHECK(test::run(context, client.wait_closed()).kind == ConnectionEnd::Kind::closed_here);
  server.finish();
}

TEST_CASE("connecting can be cancelled, and that closes the connection") {
  std::promise<void> reached;
  ScriptedQmpServer server([&](QmpPeer& peer) {
    peer.greet();
    peer.expect("qmp_capabilities");
    reached.set_value();
    peer.wait_until_closed();
  });
  asio::io_context context(1);
  QmpClient client(context.get_executor());
  auto connecting = [](QmpClient& which, MonitorAddress address) -> asio::awaitable<int> {
    co_await which.connect(std::move(address));
    co_return 0;
  };
  Background connection(context, connecting(client, server.address()));
  run_until(context, reached.get_future());
  connection.cancel.emit(asio::cancellation_type::terminal);
  CHECK(connection.wait(context).cancelled);
  CHECK_FALSE(client.is_open());
  server.finish();
}

TEST_CASE("an io_context may be destroyed with operations of every kind pending") {
  const bool client_goes_first = GENERATE(false, true);
  ScriptedQmpServer server(serve_nothing);
  {
    std::optional<asio::io_context> context(std::in_place, 1);
    auto client = std::make_shared<QmpClient>(context->get_executor());
    test::run(*context, client->connect(server.address()));
    EventSubscription events = client->subscribe();
    Background command(*context, client->execute("query-status"));
    Background large(*context, client->execute("large", Json::object({{"text", test::more_than_a_socket_holds()}})));
    Background event(*context, events.next());
    Background closed(*context, client->wait_closed());
    // As in programs: the client lives in the coroutine that uses it.
    asio::co_spawn(
        *context,
        [](std::shared_ptr<QmpClient> owned) -> asio::awaitable<void> {
          co_await owned->execute("query-name");
        }(client),
        asio::detached);
    context->restart();
    context->poll();
    if (client_goes_first) client.reset();
    events = {};
    client.reset(); // the coroutine now has the last reference, which dies with the io_context
    context.reset();
    CHECK_FALSE(command.outcome->ended);
  }
  server.finish();
}

TEST_CASE("a call that is never awaited does nothing") {
  ScriptedQmpServer server([](QmpPeer& peer) {
    peer.negotiate();
    peer.reply(peer.expect("second"));
  });
  test::run([&]() -> asio::awaitable<void> {
    QmpClient client(co_await asio::this_coro::executor);
    co_await client.connect(server.address());
    { auto never = client.execute("first"); }
    co_await client.execute("second");
    auto too_late = client.execute("third");
    client.close();
    const Error error = co_await test::error_of(std::move(too_late));
    CHECK(error.code() == errc::disconnected);
  });
  server.finish();
}
