// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "qmp_session.hpp"

#include "catch.hpp"

#include <qemuctl/error.hpp>

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace qemuctl;
using namespace qemuctl::detail;
using namespace std::chrono_literals;
using Lines = std::vector<std::string>;

namespace {

const std::string greeting =
    R"({"QMP": {"version": {"qemu": {"micro": 19, "minor": 2, "major": 7}, "package": "Debian 1:7.2"}, )"
    R"("capabilities": ["oob"]}})"
    "\r\n";
const std::string capabilities_reply = R"({"return": {}, "id": "ab0"})"
                                       "\r\n";

struct Describe {
  std::string operator()(const QmpSession::Send& send) const { return "send " + send.bytes; }
  std::string operator()(const QmpSession::Ready& ready) const {
    return "ready " + std::to_string(ready.greeting.major) + "." + std::to_string(ready.greeting.minor) + "." +
           std::to_string(ready.greeting.micro);
  }
  std::string operator()(const QmpSession::Reply& reply) const {
    return "reply " + std::to_string(reply.id) + " " + reply.value.dump();
  }
  std::string operator()(const QmpSession::Refusal& refusal) const {
    return "refusal " + std::to_string(refusal.id) + " " + refusal.qmp_class + ": " + refusal.text;
  }
  std::string operator()(const QmpSession::EventReceived& received) const {
    return "event " + received.event.name + " " + received.event.data.dump();
  }
  std::string operator()(const QmpSession::Failure& failure) const { return "failure " + failure.reason; }
};

/// A session, and what it wants done as text.
struct Conversation {
  QmpSession session;

  explicit Conversation(QmpSession::Limits limits = {}) : session(limits, "ab") {}

  Lines feed(std::string_view bytes) {
    const std::string piece(bytes); // a separate copy, so that ASan notices reads beyond it
    session.receive(piece);
    Lines lines;
    while (auto action = session.next_action()) lines.push_back(std::visit(Describe{}, *action));
    return lines;
  }

  void negotiate() {
    REQUIRE(feed(greeting) == Lines{"send {\"execute\":\"qmp_capabilities\",\"id\":\"ab0\"}\n"});
    REQUIRE(feed(capabilities_reply) == Lines{"ready 7.2.19"});
  }

  QmpSession::CommandId command(std::string_view name) { return session.encode(name, nullptr).id; }
};

Conversation ready() {
  Conversation conversation;
  conversation.negotiate();
  return conversation;
}

std::string failure(std::string_view bytes) {
  Conversation conversation = ready();
  const Lines lines = conversation.feed(bytes);
  REQUIRE(lines.size() == 1);
  REQUIRE(lines[0].substr(0, 8) == "failure ");
  return lines[0].substr(8);
}

Event event_of(std::string_view message) {
  Conversation conversation = ready();
  conversation.session.receive(message);
  const auto action = conversation.session.next_action();
  REQUIRE(action);
  REQUIRE(std::holds_alternative<QmpSession::EventReceived>(*action));
  return std::get<QmpSession::EventReceived>(*action).event;
}

} // namespace

TEST_CASE("A session answers the greeting and is ready once qmp_capabilities succeeds") {
  Conversation conversation;
  CHECK_FALSE(conversation.session.greeted());
  CHECK(conversation.feed(greeting) == Lines{"send {\"execute\":\"qmp_capabilities\",\"id\":\"ab0\"}\n"});
  CHECK(conversation.session.greeted());
  CHECK_FALSE(conversation.session.is_ready());
  conversation.session.receive(capabilities_reply);
  const auto action = conversation.session.next_action();
  REQUIRE(action);
  const QmpGreeting& said = std::get<QmpSession::Ready>(*action).greeting;
  CHECK(said.major == 7);
  CHECK(said.minor == 2);
  CHECK(said.micro == 19);
  CHECK(said.package == "Debian 1:7.2");
  CHECK(said.capabilities == std::vector<std::string>{"oob"});
  CHECK(conversation.session.is_ready());
  CHECK(conversation.session.greeted());
  CHECK_FALSE(conversation.session.next_action());
}

TEST_CASE("A greeting with missing or malformed members is accepted") {
  const auto said = GENERATE(as<std::string>{}, R"({})", R"({"version":1,"capabilities":2})",
                             R"({"version":{"qemu":{"major":"7","minor":1.5,"micro":-1},"package":0}})",
                             R"({"version":{"qemu":[],"package":null},"capabilities":[{},1]})");
  Conversation conversation;
  CHECK(conversation.feed(R"({"QMP":)" + said + "}").size() == 1);
  CHECK(conversation.feed(capabilities_reply) == Lines{"ready 0.0.0"});
}

TEST_CASE("A conversation has the same meaning however its bytes are split, also pretty-printed") {
  const std::string plain =
      greeting +
      R"({"timestamp": {"seconds": 1, "microseconds": 2}, "event": "RESUME"})"
      "\r\n"
      R"({"return": {}, "id": "somebody's"})"
      "\r\n" +
      capabilities_reply +
      R"({"return": {"status": "running", "text": "}\"{\\"}, "id": "ab2"})"
      "\r\n"
      R"({"error": {"class": "DeviceNotFound", "desc": "Device 'x' not found"}, "id": "ab1"})"
      "\r\n"
      R"({"timestamp": {"seconds": 1, "microseconds": 3}, "event": "SHUTDOWN", "data": {"guest": false}})"
      "\r\n"
      R"({"return": {}, "id": "ab3"})"
      "\r\n";
  std::string pretty;
  bool in_string = false;
  for (std::size_t i = 0; i < plain.size(); ++i) {
    if (plain[i] == '"' && plain[i - 1] != '\\') in_string = !in_string;
    pretty += plain[i];
    if (!in_string && (plain[i] == '{' || plain[i] == ',' || plain[i] == ':')) pretty += "\r\n    ";
  }
  const Lines expected = {
      "send {\"execute\":\"qmp_capabilities\",\"id\":\"ab0\"}\n",
      "event RESUME null",
      "ready 7.2.19",
      R"(reply 2 {"status":"running","text":"}\"{\\"})",
      "refusal 1 DeviceNotFound: Device 'x' not found",
      R"(event SHUTDOWN {"guest":false})",
      "reply 3 {}",
  };

  const auto converse = [&](const std::string& stream, std::size_t first, std::size_t size) {
    Conversation conversation;
    Lines lines;
    const auto take = [&](std::size_t begin, std::size_t length) {
      conversation.session.receive(std::string(stream, begin, length));
      while (auto action = conversation.session.next_action()) {
        lines.push_back(std::visit(Describe{}, *action));
        if (std::holds_alternative<QmpSession::Ready>(*action))
          for (const char* name : {"device_del", "query-status", "quit"}) conversation.command(name);
      }
    };
    take(0, first);
    for (std::size_t at = first; at < stream.size(); at += size) take(at, size);
    CHECK(conversation.session.peer_closed("Connection reset by peer").kind == ConnectionEnd::Kind::clean);
    return lines;
  };
  for (const std::string& stream : {plain, pretty}) {
    for (std::size_t first = 0; first <= stream.size(); ++first)
      REQUIRE(converse(stream, first, stream.size()) == expected);
    for (std::size_t size = 1; size < 6; ++size) REQUIRE(converse(stream, 0, size) == expected);
  }
}

TEST_CASE("Commands are written on one line, with an id unique to this connection") {
  Conversation conversation = ready();
  QmpSession& session = conversation.session;
  CHECK(session.encode("query-status", nullptr).bytes == "{\"execute\":\"query-status\",\"id\":\"ab1\"}\n");
  CHECK(session.encode("device_del", Json::object({{"id", "a\"b\n"}})).bytes ==
        "{\"execute\":\"device_del\",\"arguments\":{\"id\":\"a\\\"b\\n\"},\"id\":\"ab2\"}\n");
  CHECK(session.encode("x\"y", Json::object()).bytes == "{\"execute\":\"x\\\"y\",\"arguments\":{},\"id\":\"ab3\"}\n");
  CHECK_THROWS_WITH(session.encode("stop", Json::array()), "cannot run stop: the arguments are no object");
  CHECK_THROWS_AS(session.encode("stop", "x"), Error);
  CHECK(session.encode("stop", nullptr).id == 4);
}

TEST_CASE("Replies are matched by id, in any order") {
  Conversation conversation = ready();
  for (QmpSession::CommandId id = 1; id <= 12; ++id) REQUIRE(conversation.command("x") == id);
  CHECK(conversation.feed(R"({"return":1,"id":"ab12"}{"id":"ab1","return":{"a":[]}})") ==
        Lines{"reply 12 1", R"(reply 1 {"a":[]})"});
  CHECK(conversation.feed(R"({"id":"ab3","error":{"desc":"no","class":"GenericError"}})") ==
        Lines{"refusal 3 GenericError: no"});
  CHECK(conversation.feed(R"({"return":"","id":"ab2"})") == Lines{R"(reply 2 "")"});
}

TEST_CASE("Replies for other connections are ignored at any time") {
  const auto id = GENERATE(as<std::string>{}, R"("xy1")", R"("ab")", R"("ab01")", R"("ab+1")", R"("ab-1")", R"("ab1 ")",
                           R"("ab 1")", R"("ab2")", R"("ab18446744073709551617")", R"("AB1")", R"("1")", "1", "null",
                           R"({"ab1":1})", R"(["ab1"])");
  const std::string success = R"({"return":{},"id":)" + id + "}";
  const std::string refusal = R"({"error":{"class":"GenericError","desc":"x"},"id":)" + id + "}";
  Conversation conversation;
  CHECK(conversation.feed(success + refusal).empty());
  CHECK(conversation.feed(greeting).size() == 1);
  CHECK(conversation.feed(success + refusal).empty());
  CHECK(conversation.feed(capabilities_reply) == Lines{"ready 7.2.19"});
  CHECK(conversation.feed(success + refusal).empty());
  conversation.command("x");
  CHECK(conversation.feed(success + refusal).empty());
  CHECK(conversation.feed(R"({"return":{},"id":"ab1"})") == Lines{"reply 1 {}"});
}

TEST_CASE("A second reply to a command is ignored") {
  Conversation conversation = ready();
  conversation.command("x");
  const std::string success = R"({"return":{},"id":"ab1"})";
  const std::string refusal = R"({"error":{"class":"GenericError","desc":"x"},"id":"ab1"})";
  CHECK(conversation.feed(success + success + refusal + capabilities_reply) == Lines{"reply 1 {}"});
}

TEST_CASE("An id stays unambiguous when the prefix ends with a digit") {
  QmpSession session({}, "a1");
  session.receive(greeting + R"({"return":{},"id":"a10"})");
  REQUIRE(std::holds_alternative<QmpSession::Send>(session.next_action().value()));
  REQUIRE(std::holds_alternative<QmpSession::Ready>(session.next_action().value()));
  CHECK(session.encode("x", nullptr).bytes == "{\"execute\":\"x\",\"id\":\"a11\"}\n");
  session.receive(R"({"return":{},"id":"a1"}{"return":{},"id":"a11"})");
  CHECK(std::get<QmpSession::Reply>(session.next_action().value()).id == 1);
}

TEST_CASE("An error without an id answers the oldest command") {
  Conversation conversation = ready();
  const std::string error = R"({"error":{"class":"GenericError","desc":"JSON parse error"}})";
  CHECK(conversation.feed(error).empty());
  conversation.command("a");
  conversation.command("b");
  conversation.command("c");
  CHECK(conversation.feed(R"({"return":{},"id":"ab1"})") == Lines{"reply 1 {}"});
  CHECK(conversation.feed(error) == Lines{"refusal 2 GenericError: JSON parse error"});
  CHECK(conversation.feed(R"({"return":{},"id":"ab2"})").empty());
  CHECK(conversation.feed(R"({"return":{},"id":"ab3"})") == Lines{"reply 3 {}"});
}

TEST_CASE("An error without an id for a forgotten command is not attributed to the next one") {
  Conversation conversation = ready();
  const auto first = conversation.command("a");
  conversation.command("b");
  conversation.session.forget(first);
  const std::string error = R"({"error":{"class":"GenericError","desc":"x"}})";
  CHECK(conversation.feed(error).empty());
  CHECK(conversation.feed(error) == Lines{"refusal 2 GenericError: x"});
}

TEST_CASE("A reply without an id during negotiation belongs to an earlier client") {
  Conversation conversation;
  CHECK(conversation.feed(greeting).size() == 1);
  CHECK(conversation.feed(R"({"error":{"class":"GenericError","desc":"x"}}{"return":{}})").empty());
  CHECK(conversation.feed(capabilities_reply) == Lines{"ready 7.2.19"});
  conversation.command("x");
  CHECK(conversation.feed(R"({"return":{}})").empty());
}

TEST_CASE("Events are delivered in order, even before the session is ready") {
  Conversation conversation;
  CHECK(conversation.feed(greeting).size() == 1);
  CHECK(conversation.feed(R"({"event":"STOP"}{"event":"RESUME","data":{}})" + capabilities_reply +
                          R"({"event":"X_1","data":{"a":[1]}})") ==
        Lines{"event STOP null", "event RESUME {}", "ready 7.2.19", R"(event X_1 {"a":[1]})"});
}

TEST_CASE("An event carries QEMU's timestamp, or the epoch if there is none") {
  const std::chrono::system_clock::time_point epoch{};
  const auto [timestamp, since] = GENERATE_COPY(table<std::string, std::chrono::microseconds>({
      {R"({"seconds":1700000000,"microseconds":999999})", 1'700'000'000'999'999us},
      {R"({"seconds":0,"microseconds":0})", 0us},
      {R"({"seconds":-1,"microseconds":-1})", 0us},
      {R"({"seconds":5,"microseconds":1000000})", 0us},
      {R"({"seconds":9223372036854775807,"microseconds":0})", 0us},
      {R"({"seconds":18446744073709551615,"microseconds":0})", 0us},
      {R"({"seconds":1.5,"microseconds":0})", 0us},
      {R"({"seconds":"1","microseconds":"0"})", 0us},
      {R"({"seconds":1})", 0us},
      {R"([1,2])", 0us},
      {R"(null)", 0us},
  }));
  CAPTURE(timestamp);
  CHECK(event_of(R"({"event":"X","timestamp":)" + timestamp + "}").timestamp - epoch == since);
  CHECK(event_of(R"({"event":"X"})").timestamp == epoch);
}

TEST_CASE("A message that breaks the protocol ends the session with a reason") {
  const auto [message, reason] = GENERATE(table<std::string, std::string>({
      {"hello\r\n", "a message starts with 'hello', which is no JSON object"},
      {"[]", "a message starts with '[]', which is no JSON object"},
      {"{}", "a message is neither greeting, event nor reply"},
      {R"({"id":"ab1"})", "a message is neither greeting, event nor reply"},
      {R"({"return" 1})", "QMP message:1:11: ':' is expected, not '1'"},
      {R"({"return":1])", "QMP message:1:12: ',' or '}' is expected, not ']'"},
      {"{\"return\":\"\xFF\"}", "QMP message:1:12: this is no valid UTF-8: byte 0xff"},
      {R"({"QMP":{}})", "the peer greeted twice"},
      {R"({"event":1})", "an event has no name"},
      {R"({"event":"X","data":1})", "the data of the event \"X\" is no object"},
  }));
  CAPTURE(message);
  CHECK(failure(message) == reason);
}

TEST_CASE("A peer that is not a QMP monitor is distinguished from one that fails later") {
  const auto [message, reason] = GENERATE(table<std::string, std::string>({
      {"RFB 003.008\n", "a message starts with 'RFB 003.008', which is no JSON object"},
      {R"({"QMP":[]})", "the greeting is no object"},
      {R"({"hello":1})", "a message is neither greeting, event nor reply"},
  }));
  Conversation conversation;
  CHECK(conversation.feed(message) == Lines{"failure this is no QMP monitor: " + reason});
  CHECK_FALSE(conversation.session.greeted());
}

TEST_CASE("An error of any shape is a refusal") {
  const auto [error, expected] = GENERATE(table<std::string, std::string>({
      {R"({"class":"KVMMissingCap","desc":"no","more":1})", "KVMMissingCap: no"},
      {R"({"desc":"no"})", "GenericError: no"},
      {R"({"class":1,"desc":2})", "GenericError: no reason was given"},
      {R"({})", "GenericError: no reason was given"},
      {R"("x")", "GenericError: no reason was given"},
      {R"(null)", "GenericError: no reason was given"},
  }));
  Conversation conversation = ready();
  conversation.command("x");
  CHECK(conversation.feed(R"({"id":"ab1","error":)" + error + "}") == Lines{"refusal 1 " + expected});
}

TEST_CASE("A refused qmp_capabilities ends the session with QEMU's words") {
  Conversation conversation;
  conversation.feed(greeting);
  CHECK(conversation.feed(R"({"id":"ab0","error":{"class":"CommandNotFound","desc":"not now"}})") ==
        Lines{"failure QEMU refused qmp_capabilities: not now"});
  CHECK_FALSE(conversation.session.is_ready());
  CHECK(conversation.session.greeted());
}

TEST_CASE("Nothing is delivered after a failure") {
  Conversation conversation = ready();
  conversation.command("x");
  CHECK(conversation.feed(R"({"event":"A"}{} {"event":"B"})").size() == 2);
  CHECK(conversation.feed(R"({"return":{},"id":"ab1"})").empty());
  CHECK_FALSE(conversation.session.is_ready());
  const ConnectionEnd end = conversation.session.peer_closed();
  CHECK(end.kind == ConnectionEnd::Kind::garbage);
  CHECK(end.reason == "a message is neither greeting, event nor reply");
}

TEST_CASE("A message beyond a limit ends the session before it is complete") {
  Conversation conversation({.max_message_bytes = 200, .max_depth = 4});
  conversation.negotiate();
  SECTION("size") {
    CHECK(conversation.feed(R"({"event":")" + std::string(190, 'x')).empty());
    CHECK(conversation.feed("x") == Lines{"failure a message is longer than 200 bytes"});
  }
  SECTION("depth") {
    CHECK(conversation.feed(R"({"event":"A","data":{"a":[{}]}})").size() == 1);
    CHECK(conversation.feed(R"({"event":[[[[)") == Lines{"failure a message is nested deeper than 4 levels"});
  }
}

TEST_CASE("A late reply to a forgotten command is ignored, and does not count as unanswered") {
  Conversation conversation = ready();
  const auto first = conversation.command("a");
  const auto second = conversation.command("b");
  conversation.session.forget(first);
  conversation.session.forget(first);
  conversation.session.forget(99);
  CHECK(conversation.session.peer_closed().reason == "the peer closed the connection with 1 command unanswered");
  conversation.session.forget(second);
  CHECK(conversation.session.peer_closed().kind == ConnectionEnd::Kind::clean);
  CHECK(conversation.feed(R"({"return":{},"id":"ab1"}{"error":{},"id":"ab2"})").empty());
  CHECK(conversation.session.peer_closed().kind == ConnectionEnd::Kind::clean);
}

TEST_CASE("Any number of forgotten commands leaves the others alone") {
  Conversation conversation = ready();
  const auto kept = conversation.command("kept");
  for (int i = 0; i < 5'000; ++i) conversation.session.forget(conversation.command("x"));
  CHECK(conversation.feed(R"({"return":{},"id":"ab7"}{"return":{},"id":"ab4999"})").empty());
  CHECK(conversation.session.peer_closed().reason == "the peer closed the connection with 1 command unanswered");
  CHECK(conversation.feed(R"({"return":{},"id":"ab1"})") == Lines{"reply " + std::to_string(kept) + " {}"});
  CHECK(conversation.session.peer_closed().kind == ConnectionEnd::Kind::clean);
}

TEST_CASE("A connection ends cleanly only between messages with nothing unanswered, or when announced") {
  struct Case {
    std::string bytes; ///< after the negotiation
    std::vector<std::string> commands;
    std::string error;
    ConnectionEnd::Kind kind;
    std::string reason;
  };
  using enum ConnectionEnd::Kind;
  const std::string announced = "the peer closed the connection as it had announced";
  const std::string shutdown = R"({"event":"SHUTDOWN","data":{"guest":true}})";
  const std::string answer = R"({"return":{},"id":"ab1"})";
  const auto [bytes, commands, error, kind, reason] = GENERATE_COPY(values<Case>({
      {"", {}, "", clean, "the peer closed the connection"},
      {"\r\n", {}, "", clean, "the peer closed the connection"},
      {answer, {"x"}, "", clean, "the peer closed the connection"},
      {"", {"x"}, "", cut, "the peer closed the connection with 1 command unanswered"},
      {"", {"x", "y"}, "", cut, "the peer closed the connection with 2 commands unanswered"},
      {"{\"return\"", {"x"}, "", cut, "the peer closed the connection inside a message"},
      {"", {}, "Connection reset by peer", cut, "the connection failed: Connection reset by peer"},
      {"{", {}, "no", cut, "the connection failed inside a message: no"},
      {shutdown, {}, "", clean, announced},
      {shutdown, {"x"}, "Connection reset by peer", clean, announced},
      {shutdown + R"({"event":"RESET"})", {"x"}, "", cut, "the peer closed the connection with 1 command unanswered"},
      {shutdown + R"({"event":"STOP"})", {"x"}, "", clean, announced},
      {answer, {"quit"}, "Connection reset by peer", clean, announced},
      {answer + R"({"event":"RESUME"})", {"quit"}, "Connection reset by peer", clean, announced},
      {"", {"quit"}, "", cut, "the peer closed the connection with 1 command unanswered"},
      {R"({"error":{},"id":"ab1"})", {"quit"}, "no", cut, "the connection failed: no"},
  }));
  CAPTURE(bytes, error);
  Conversation conversation = ready();
  for (const std::string& name : commands) conversation.command(name);
  conversation.feed(bytes);
  const ConnectionEnd end = conversation.session.peer_closed(error);
  CHECK(end.kind == kind);
  CHECK(end.reason == reason);
}

TEST_CASE("A forgotten quit still announces the end when it is answered") {
  Conversation conversation = ready();
  conversation.session.forget(conversation.command("quit"));
  CHECK(conversation.feed(R"({"return":{},"id":"ab1"})").empty());
  CHECK(conversation.session.peer_closed("Connection reset by peer").kind == ConnectionEnd::Kind::clean);
}

TEST_CASE("A connection that ends before the session is ready reports how far it got") {
  using enum ConnectionEnd::Kind;
  Conversation conversation;
  CHECK(conversation.session.peer_closed().kind == clean);
  CHECK(conversation.session.peer_closed().reason == "the peer closed the connection before it greeted");
  CHECK(conversation.session.peer_closed("no").kind == cut);
  CHECK(conversation.session.peer_closed("no").reason == "the connection failed before it greeted: no");
  conversation.feed(greeting.substr(0, 10));
  CHECK(conversation.session.peer_closed().kind == cut);
  CHECK(conversation.session.peer_closed().reason == "the peer closed the connection inside a message");
  conversation.feed(greeting.substr(10));
  CHECK(conversation.session.peer_closed().kind == cut);
  CHECK(conversation.session.peer_closed().reason == "the peer closed the connection before it was ready");
}

// Quadratic work on this would take hours.
TEST_CASE("A large reply that arrives byte by byte takes time linear in its size") {
  Conversation conversation = ready();
  conversation.command("query-qmp-schema");
  const std::string value(2'000'000, 'x');
  Lines lines;
  for (const char c : R"({"return":")" + value + R"(","id":"ab1"})") {
    conversation.session.receive({&c, 1});
    while (auto action = conversation.session.next_action()) lines.push_back(std::visit(Describe{}, *action));
  }
  CHECK(lines == Lines{"reply 1 \"" + value + "\""});
}
