// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// A failure of every kind at every step of the protocol: the right error comes in time, and nothing is left behind.
#include "catch.hpp"
#include "expect_error.hpp"
#include "run.hpp"
#include "scripted_qmp_server.hpp"

#include <qemuctl/qmp_client.hpp>

#include <asio/detached.hpp>

#include <optional>
#include <string>
#include <string_view>

using namespace qemuctl;
using namespace std::chrono_literals;
using test::QmpPeer;
using test::ScriptedQmpServer;

namespace {

enum class Step {
  before_greeting,
  inside_greeting,
  after_greeting,
  before_negotiated,
  inside_negotiated,
  idle,
  before_reply,
  inside_reply,
  inside_event,
};

enum class Fault { cut, reset, silence, garbage, oversized, wrong_id };

constexpr std::string_view step_names[] = {
    "before the greeting",
    "inside the greeting",
    "after the greeting",
    "before the reply to qmp_capabilities",
    "inside the reply to qmp_capabilities",
    "with no command under way",
    "before the reply to a command",
    "inside the reply to a command",
    "inside an event",
};
constexpr std::string_view fault_names[] = {"a cut",     "a reset", "silence", "garbage", "an oversized message",
                                            "a wrong id"};

constexpr std::size_t max_message = std::size_t{64} << 10;

std::string_view half(const std::string& text) {
  return std::string_view(text).substr(0, text.size() / 2);
}

/// Leads the client to the step.
void play_until(Step step, QmpPeer& peer) {
  if (step == Step::before_greeting) return;
  if (step == Step::inside_greeting) return peer.send(half(std::string(QmpPeer::greeting)));
  peer.greet();
  if (step == Step::after_greeting) return;
  const auto negotiation = peer.expect("qmp_capabilities");
  if (step == Step::before_negotiated) return;
  if (step == Step::inside_negotiated) return peer.send(half(QmpPeer::reply_text(negotiation)));
  peer.reply(negotiation);
  peer.reply(peer.expect("good"));
  if (step == Step::idle) return;
  const auto command = peer.expect("bad");
  if (step == Step::inside_reply) peer.send(half(QmpPeer::reply_text(command)));
  if (step == Step::inside_event) peer.send(half(QmpPeer::event_text("STOP")));
}

void play(Fault fault, QmpPeer& peer) {
  switch (fault) {
  case Fault::cut:
    return peer.close();
  case Fault::reset:
    return peer.reset();
  case Fault::silence:
    return peer.stay_silent();
  case Fault::garbage:
    // Completes what was begun, inside a string or not, so that it is parsed.
    peer.send_while_it_lasts("\x01\xff HTTP/1.1 400 Bad Request }}}} \" }}}}\r\n\r\n");
    return peer.stay_silent();
  case Fault::oversized:
    peer.send_while_it_lasts("{\"return\": \"" + std::string(4 * max_message, 'x'));
    return peer.stay_silent();
  case Fault::wrong_id:
    peer.send_while_it_lasts("{\"return\": {}, \"id\": \"nobody's\"}\r\n");
    return peer.stay_silent();
  }
}

bool ends_connection(Fault fault) {
  return fault != Fault::silence && fault != Fault::wrong_id;
}

/// What connect() throws.
errc expected_of_connect(Fault fault) {
  switch (fault) {
  case Fault::cut:
  case Fault::reset:
    return errc::disconnected;
  case Fault::garbage:
  case Fault::oversized:
    return errc::protocol_error;
  default:
    return errc::timed_out;
  }
}

} // namespace

TEST_CASE("a failure at any step ends pending operations with the right error and leaves nothing behind") {
  const auto transport = GENERATE(ScriptedQmpServer::Transport::unix_path, ScriptedQmpServer::Transport::tcp);
  // A Unix socket closed with nothing unread always ends cleanly.
  const bool resets = transport == ScriptedQmpServer::Transport::tcp;
  const int step_number = GENERATE(range(0, 9));
  const int fault_number = GENERATE(range(0, 6));
  const auto step = static_cast<Step>(step_number);
  const auto fault = static_cast<Fault>(fault_number);
  INFO(fault_names[fault_number] << ' ' << step_names[step_number]);

  ScriptedQmpServer server(
      [&](QmpPeer& peer) {
        play_until(step, peer);
        play(fault, peer);
      },
      transport);

  constexpr auto deadline = 150ms;
  QmpClientOptions options;
  // A short deadline where it must expire, a long one that would be noticed where it must not.
  options.greeting_timeout = step <= Step::inside_negotiated && !ends_connection(fault) ? deadline : 10s;
  options.max_message_bytes = max_message;
  const auto start = std::chrono::steady_clock::now();
  {
    asio::io_context context(1);
    QmpClient client(context.get_executor(), options);
    EventSubscription events = client.subscribe();

    if (step <= Step::inside_negotiated) {
      const Error error = test::run(context, [&] { return test::error_of(client.connect(server.address())); });
      INFO(error.what());
      CHECK(error.code() == expected_of_connect(fault));
      CHECK_FALSE(client.is_open());
      const Error later = test::run(context, [&] { return test::error_of(client.execute("good")); });
      CHECK(later.code() == errc::disconnected);
    } else {
      test::run(context, client.connect(server.address()));
      test::run(context, client.execute("good"));
      if (step != Step::idle) {
        ExecuteOptions command;
        if (!ends_connection(fault)) command.timeout = deadline;
        const Error error =
            test::run(context, [&] { return test::error_of(client.execute("bad", {}, std::move(command))); });
        INFO(error.what());
        CHECK(error.code() == errc::interrupted);
        CHECK(error.diagnostics().command == "bad");
      }
      if (ends_connection(fault)) {
        const ConnectionEnd end = test::run(context, client.wait_closed());
        INFO(end.reason);
        if (fault == Fault::garbage || fault == Fault::oversized)
          CHECK(end.kind == ConnectionEnd::Kind::garbage);
        else if (step == Step::idle && (fault == Fault::cut || !resets))
          CHECK(end.kind == ConnectionEnd::Kind::clean);
        else
          CHECK(end.kind == ConnectionEnd::Kind::cut);
        const Error error = test::run(context, [&] { return test::error_of(client.execute("good")); });
        CHECK(error.code() == errc::disconnected);
      } else {
        CHECK(client.is_open());
        client.close();
      }
    }
    // Whatever happened, the subscription ends.
    CHECK_FALSE(test::run(context, events.next(5s)).has_value());
  }
  server.finish();
  CHECK(std::chrono::steady_clock::now() - start < 5s);
}

TEST_CASE("a connection that is reset before the client notices it is reported as closed, not as unreachable") {
  ScriptedQmpServer server([](QmpPeer& peer) { peer.reset(); }, ScriptedQmpServer::Transport::tcp);
  asio::io_context context(1);
  QmpClient client(context.get_executor());
  std::optional<Error> error;
  const auto connect = [&]() -> asio::awaitable<void> {
    error = co_await test::error_of(client.connect(server.address()));
  };
  asio::co_spawn(context, connect(), asio::detached);
  context.poll(); // begins to connect
  server.finish();
  context.restart();
  context.run_for(10s);
  REQUIRE(error.has_value());
  INFO(error->what());
  CHECK(error->code() == errc::disconnected);
}
