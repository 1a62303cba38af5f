// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// The REST API with devices of umockdev's and QEMUs that do what they are told.
#include "catch.hpp"
#include "fake_qemu.hpp"
#include "rest_events.hpp"
#include "rest_host.hpp"

#include <qemuctl/error.hpp>

#include <asio/co_spawn.hpp>

#include <chrono>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

using namespace hotplug;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
using qemuctl::Json;
using test::ask;
using test::FakeQemu;
using test::HttpAnswer;
using test::HttpWire;
using test::RestHost;

namespace {

/// VMs "a", which runs, and "b", which does not; sticks may go to both.
struct StickHost : RestHost {
  explicit StickHost(FakeQemu::Decide decide = {}) : qemu(socket("a"), std::move(decide)) {
    add_vm("a");
    add_vm("b");
    add_rule("Stick", "a").vms.push_back("b");
    options.attach_connected = false;
    stick = host.plug(root, 3, 1, 5);
  }
  FakeQemu qemu;
  std::string stick;
};

/// That it is a problem of that status, and what it says.
std::string problem_of(const HttpAnswer& answer, int status) {
  CHECK(answer.status == status);
  CHECK(answer.header("content-type") == "application/problem+json");
  const Json json = answer.json();
  CHECK(json.at("status") == Json(status));
  CHECK_THAT(json.at("type").as_string(), StartsWith("urn:qemuctl:"));
  static std::map<std::string, std::string> titles; // one for each type (RFC 9457, 3.1.4)
  const std::string& title = json.at("title").as_string();
  CHECK(titles.emplace(json.at("type").as_string(), title).first->second == title);
  CHECK_FALSE(title.empty());
  return json.at("detail").as_string();
}

/// Has the service send events on that connection.
void listen(HttpWire& wire, const std::string& fields = {}) {
  wire.send("GET /api/1/events HTTP/1.1\r\nHost: localhost\r\n" + fields + "\r\n");
  const HttpAnswer head = wire.head();
  CHECK(head.status == 200);
  CHECK(head.header("content-type") == "text/event-stream");
}

/// What clients with the token of that name may do, with these VMs (none: all); "": those of REST.
ApiPermission permission(const std::string& token, ApiLevel may, const std::string& vm = {}) {
  ApiPermission result;
  result.transport = "rest";
  result.token = token;
  result.may = may;
  if (!vm.empty()) result.vms.emplace(1, vm);
  return result;
}

} // namespace

TEST_CASE("REST: devices and VMs are shown with what can be done with them") {
  StickHost host;
  host.start_rest();
  HttpWire wire(host);
  const Json devices = wire.ask("GET", "/api/1/devices").json().at("devices");
  REQUIRE(devices.size() == 1);
  const Json& stick = devices.at(0);
  CHECK(stick.at("id") == Json("usb-3-1"));
  CHECK(stick.at("kind") == Json("usb"));
  CHECK(stick.at("name") == Json("Stick"));
  CHECK(stick.at("state") == Json("host"));
  CHECK(stick.at("allowedVms").dump() == R"(["a","b"])");
  CHECK(stick.at("targets").dump() ==
        R"([{"vm":"a","possible":true,"reason":null},{"vm":"b","possible":false,"reason":"VM b does not run"}])");
  CHECK(wire.ask("GET", "/api/1/devices/usb-3-1").json() == stick);
  CHECK(wire.ask("GET", "/api/1/devices?kind=usb").json().at("devices").size() == 1);
  CHECK(wire.ask("GET", "/api/1/devices?kind=pci").json().at("devices").size() == 0);
  CHECK_THAT(problem_of(wire.ask("GET", "/api/1/devices?kind=x"), 400), ContainsSubstring("usb, pci, input"));
  CHECK_THAT(wire.ask("GET", "/api/1/devices/usb-3-1/explanation").json().at("text").as_string(),
             ContainsSubstring("wanted Stick"));
  const Json vms = wire.ask("GET", "/api/1/vms").json().at("vms");
  REQUIRE(vms.size() == 2);
  CHECK(vms.at(0).at("state") == Json("running"));
  CHECK(vms.at(0).at("actions").dump() == R"(["shutdown","stop","reset","send-key","pause"])");
  CHECK(vms.at(1).at("state") == Json("shutdown"));
  CHECK(wire.ask("GET", "/api/1/vms/b").json() == vms.at(1));
  CHECK(wire.ask("GET", "/api/1/rules").json().at("rules").at(0).at("vms").dump() == R"(["a","b"])");
  CHECK(wire.ask("GET", "/api/1").json().at("version") == Json("1.2.3"));
  CHECK(wire.ask("GET", "/healthz").body == "ok\n");
}

TEST_CASE("REST: a device is attached and detached, and the answer shows it done") {
  StickHost host;
  host.start_rest();
  HttpWire wire(host);
  const HttpAnswer attached = wire.ask("PUT", "/api/1/devices/usb-3-1/attachment", {}, R"({"vm":"a"})");
  CHECK(attached.status == 200);
  CHECK(attached.json().at("state") == Json("attached"));
  CHECK(attached.json().at("vm") == Json("a"));
  CHECK(host.is_in("3-1", "a"));
  CHECK(wire.ask("GET", "/api/1/vms/a").json().at("devices").dump() == R"(["usb-3-1"])");
  CHECK(wire.ask("GET", "/api/1/devices/usb-3-1/attachment").json().at("vm") == Json("a"));
  const HttpAnswer detached = wire.ask("DELETE", "/api/1/devices/usb-3-1/attachment");
  CHECK(detached.status == 200);
  CHECK(detached.json().at("state") == Json("detached"));
  CHECK_FALSE(host.state("3-1").vm);
  const std::vector<std::string> audit = host.audit();
  REQUIRE(audit.size() == 2);
  CHECK(audit[0] == R"(audit: 127.0.0.1 on rest: PUT /api/1/devices/usb-3-1/attachment {"vm":"a"}: done)");
}

TEST_CASE("REST: what can not be is told as a problem") {
  StickHost host([](const FakeQemu::Command& command) {
    return command.name == "device_add" ? FakeQemu::Fate::refused : FakeQemu::Fate::done;
  });
  host.start_rest();
  HttpWire wire(host);
  const char* place = "/api/1/devices/usb-3-1/attachment";
  CHECK_THAT(problem_of(wire.ask("PUT", place, {}, R"({"vm":"x"})"), 422), ContainsSubstring("no VM \"x\""));
  CHECK_THAT(problem_of(wire.ask("PUT", place), 422), ContainsSubstring("a VM has to be named"));
  problem_of(wire.ask("PUT", place, {}, R"({"vm":7})"), 400);
  CHECK_THAT(problem_of(wire.ask("PUT", place, {}, R"({"vm":"a","now":1})"), 400), ContainsSubstring("\"now\""));
  problem_of(wire.ask("PUT", place, {}, R"({"vm":"a")"), 400);
  problem_of(wire.ask("PUT", place, {}, "[]"), 400);
  problem_of(wire.ask("PUT", place, "Content-Type: text/plain\r\n", R"({"vm":"a"})"), 415);
  const char* json = "Content-Type: Application/JSON ; charset=utf-8\r\n";
  CHECK_THAT(problem_of(wire.ask("PUT", place, json, R"({"vm":"b"})"), 409), ContainsSubstring("does not run"));
  problem_of(wire.ask("PUT", place, {}, R"({"vm":"a"})"), 502);
  problem_of(wire.ask("PUT", "/api/1/devices/usb-9-9/attachment", {}, R"({"vm":"a"})"), 404);
  problem_of(wire.ask("GET", "/api/1/devices/usb-9-9"), 404);
  problem_of(wire.ask("GET", "/api/1/vms/x"), 404);
  problem_of(wire.ask("POST", "/api/1/vms/a/actions/fly"), 404);
  problem_of(wire.ask("GET", "/nothing"), 404);
  const HttpAnswer wrong = wire.ask("POST", place, {}, "{}");
  problem_of(wrong, 405);
  CHECK(wrong.header("allow") == "GET, HEAD, PUT, DELETE");
  problem_of(wire.ask("POST", "/api/1/vms/b/actions/pause"), 409);
  problem_of(wire.ask("POST", "/api/1/vms/a/actions/start"), 409);
  problem_of(wire.ask("POST", "/api/1/vms/b/actions/start"), 409);
}

TEST_CASE("REST: a VM that does not answer is told as a problem of its own") {
  StickHost host([](const FakeQemu::Command& command) {
    const bool silent = command.name == "stop" || command.name == "device_del";
    if (command.name == "cont") return FakeQemu::Fate::cut;
    return silent ? FakeQemu::Fate::ignored : FakeQemu::Fate::done;
  });
  host.options.command_timeout = std::chrono::milliseconds(200);
  host.options.request_timeout = std::chrono::milliseconds(1'000);
  host.start_rest();
  const auto connect = [&] {
    host.wait_until("it is connected", [&] { return host.engine->vms().at(0).link == LinkState::connected; });
  };
  HttpWire wire(host);
  for (const char* action : {"pause", "resume"}) { // no answer, and the end of the connection
    INFO(action);
    connect();
    CHECK_THAT(problem_of(wire.ask("POST", std::string("/api/1/vms/a/actions/") + action), 503),
               ContainsSubstring("QEMU may still carry it out"));
  }
  connect();
  const char* place = "/api/1/devices/usb-3-1/attachment";
  CHECK(wire.ask("PUT", place, {}, R"({"vm":"a"})").status == 200);
  problem_of(wire.ask("DELETE", place), 504);
}

TEST_CASE("REST: the screen of a VM is a picture") {
  StickHost host;
  host.start_rest();
  HttpWire wire(host);
  const HttpAnswer picture = wire.ask("GET", "/api/1/vms/a/screenshot.png");
  CHECK(picture.status == 200);
  CHECK(picture.header("content-type") == "image/png");
  CHECK_THAT(picture.body, StartsWith("\x89PNG\r\n"));
  problem_of(wire.ask("GET", "/api/1/vms/b/screenshot.png"), 409);
}

TEST_CASE("REST: entity tags spare answers, and keep people from undoing what others did") {
  StickHost host;
  host.start_rest();
  HttpWire wire(host);
  const HttpAnswer first = wire.ask("GET", "/api/1/devices/usb-3-1");
  const std::string etag = first.header("etag");
  CHECK(first.json().at("etag") == Json(etag));
  CHECK(wire.ask("GET", "/api/1/devices").json().at("devices").at(0).at("etag") == Json(etag));
  CHECK(wire.ask("GET", "/api/1/devices/usb-3-1", "If-None-Match: " + etag + "\r\n").status == 304);
  const std::string match = "If-Match: " + etag + "\r\n";
  CHECK(wire.ask("PUT", "/api/1/devices/usb-3-1/attachment", match, R"({"vm":"a"})").status == 200);
  problem_of(wire.ask("DELETE", "/api/1/devices/usb-3-1/attachment", match), 412);
  const std::string now = wire.ask("GET", "/api/1/devices/usb-3-1").header("etag");
  problem_of(wire.ask("DELETE", "/api/1/devices/usb-3-1/attachment", "If-Match: W/" + now + "\r\n"), 412);
  CHECK(host.is_in("3-1", "a"));
  CHECK(wire.ask("GET", "/api/1/devices/usb-3-1", "If-None-Match: " + etag + "\r\n").status == 200);
}

TEST_CASE("REST: VMs are paused and resumed, and get keys") {
  StickHost host;
  host.start_rest();
  HttpWire wire(host);
  for (const char* action : {"pause", "resume", "reset", "shutdown"}) {
    INFO(action);
    CHECK(wire.ask("POST", std::string("/api/1/vms/a/actions/") + action).json().at("vm").at("name") == Json("a"));
  }
  CHECK(wire.ask("POST", "/api/1/vms/a/actions/send-key", {}, R"({"keys":["ctrl","alt","delete"]})").status == 200);
  CHECK_THAT(problem_of(wire.ask("POST", "/api/1/vms/a/actions/send-key"), 400), ContainsSubstring("keys"));
  problem_of(wire.ask("POST", "/api/1/vms/a/actions/pause", {}, R"({"keys":[]})"), 400);
  for (const char* command : {"stop", "cont", "system_reset", "system_powerdown", "send-key"}) {
    INFO(command);
    CHECK(host.qemu.count(command) == 1);
  }
}

TEST_CASE("REST: events tell what changes, and go on after the last one that was read") {
  StickHost host;
  host.start_rest();
  std::string last;
  {
    HttpWire wire(host);
    listen(wire);
    CHECK(wire.event().type == "hello");
    ask(host, "PUT", "/api/1/devices/usb-3-1/attachment", {}, R"({"vm":"a"})");
    HttpWire::Event event = wire.event("device");
    while (event.data.at("state") != Json("attached")) event = wire.event("device");
    CHECK(event.data.at("vm") == Json("a"));
    last = event.id;
  }
  host.host.pull(host.stick);
  HttpWire wire(host);
  listen(wire, "Last-Event-ID: " + last + "\r\n");
  const HttpWire::Event hello = wire.event();
  CHECK(hello.type == "hello");
  CHECK(hello.data.at("resumed") == Json(true));
  CHECK(hello.id == last);
  CHECK(wire.event("device-removed").data.at("id") == Json("usb-3-1"));
  for (const char* id : {"0000000000000000-1", "nonsense", "-1"}) {
    HttpWire other(host);
    listen(other, std::string("Last-Event-ID: ") + id + "\r\n");
    const HttpWire::Event first = other.event();
    CHECK(first.type == "hello");
    CHECK(first.data.at("resumed") == Json(false));
  }
  host.server->reload(host.rest, std::nullopt);
  CHECK(wire.event("reload").data.at("resumed") == Json(false));
}

TEST_CASE(
    "REST: another configuration changes tokens, permissions and origins at once, and ends streams that it concerns") {
  StickHost host;
  host.rest.token_file = host.token_file("ops 0123456789abcdef\nguest fedcba9876543210\n");
  host.rest_options.permissions.emplace(1, permission("ops", ApiLevel::admin));
  host.rest_options.permissions->push_back(permission("guest", ApiLevel::read));
  host.start_rest();
  const std::string ops = "Authorization: Bearer 0123456789abcdef\r\n",
                    guest = "Authorization: Bearer fedcba9876543210\r\n";
  HttpWire of_ops(host), of_guest(host), wire(host);
  listen(of_ops, ops);
  listen(of_guest, guest);
  CHECK(of_ops.event().type == "hello");
  CHECK(of_guest.event().type == "hello");

  std::vector<ApiPermission> fewer(1, permission("ops", ApiLevel::admin));
  fewer.push_back(permission("guest", ApiLevel::read, "b"));
  hotplug::RestConfig next = host.rest;
  next.allowed_origins.push_back("https://vms.example.org");
  next.port = 1;
  host.server->reload(next, fewer);
  CHECK(host.logged("takes a restart"));
  CHECK(of_ops.event().type == "reload");
  CHECK(of_guest.rest_of_stream().empty());
  CHECK(wire.ask("GET", "/api/1/vms", guest).json().at("vms").size() == 1);
  CHECK(wire.ask("GET", "/api/1/vms", ops + "Origin: https://vms.example.org\r\n").status == 200);

  next.token_file = host.token_file("guest 0000000000000000\n");
  host.server->reload(next, fewer);
  CHECK(of_ops.rest_of_stream().empty());
  problem_of(wire.ask("GET", "/api/1/vms", ops), 401);
  problem_of(wire.ask("GET", "/api/1/vms", guest), 401);

  next.token_file = "/nonexistent";
  CHECK_THROWS_WITH(host.server->reload(next, std::nullopt), ContainsSubstring("/nonexistent"));
  CHECK(wire.ask("GET", "/api/1/vms", "Authorization: Bearer 0000000000000000\r\n").status == 200);
}

TEST_CASE("REST: a service that the network reaches takes no configuration without tokens") {
  StickHost host;
  host.rest.host = "0.0.0.0";
  host.rest.token_file = host.token_file();
  host.start_rest();
  hotplug::RestConfig next = host.rest;
  next.host = "127.0.0.1"; // where it would listen after a restart
  next.token_file.clear();
  CHECK_THROWS_WITH(host.server->reload(next, std::nullopt), ContainsSubstring("tokenFile"));
  problem_of(ask(host, "GET", "/api/1/vms"), 401);
}

TEST_CASE("REST: events are kept no longer than a client may take to come back") {
  StickHost host;
  host.rest_options.quiet_time = std::chrono::milliseconds(10); // when it is seen that a client has gone
  host.rest_options.keep_events = std::chrono::milliseconds(0);
  host.rest_options.max_streams_per_address = 1;
  host.start_rest();
  std::string last;
  {
    HttpWire wire(host);
    listen(wire);
    last = wire.event("hello").id;
  }
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  for (bool gone = false; !gone;) { // there is a place again when it is
    REQUIRE(std::chrono::steady_clock::now() < deadline);
    HttpWire wire(host);
    wire.send("GET /api/1/events HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: " + last + "\r\n\r\n");
    gone = wire.head().status == 200;
    if (gone) CHECK(wire.event("hello").data.at("resumed") == Json(false));
  }
}

TEST_CASE("REST: a stream that is quiet has a comment now and then, so that a client knows that the service is alive") {
  StickHost host;
  host.rest_options.quiet_time = std::chrono::milliseconds(50);
  host.start_rest();
  HttpWire wire(host);
  listen(wire);
  CHECK(wire.event().type == "hello");
  for (int comments = 0; comments < 2;) comments += wire.line() == ":" ? 1 : 0;
  CHECK_FALSE(wire.has_event());
}

namespace {

/// A stream whose client reads when the case says so.
struct SlowStream : detail::HttpStream {
  void write(std::string bytes, std::function<void(bool)> done) override {
    written.push_back(std::move(bytes));
    read = std::move(done);
  }
  void end() override { ended = true; }
  std::vector<std::string> written;
  std::function<void(bool)> read;
  bool ended = false;
};

} // namespace

TEST_CASE("REST: a client that reads too slowly for all that happens is told to look at everything anew") {
  StickHost host;
  host.start_rest();
  detail::RestApi api(*host.engine, {});
  detail::RestEvents events(host.io.get_executor(), api, {});
  detail::RestEvents::Listener listener;
  listener.address = "127.0.0.1";
  listener.rights.everywhere = ApiLevel::read;
  listener.is_still = [] { return true; };
  const auto stream = std::make_shared<SlowStream>();
  asio::co_spawn(host.io, events.tell(stream, listener), [](std::exception_ptr) {});
  const auto wait_for = [&](std::size_t count) {
    host.wait_until("it is written", [&] { return stream->written.size() == count; });
  };
  wait_for(1);
  CHECK_THAT(stream->written[0], ContainsSubstring("event: hello\n"));
  for (int i = 0; i < 2'000; ++i) events.announce_reload(); // and nothing more is written meanwhile
  stream->read(true);
  wait_for(2);
  const std::string& all = stream->written[1];
  CHECK_THAT(all, ContainsSubstring("event: reload\n"));
  CHECK(all.find("event: ", all.find("event: ") + 1) == std::string::npos); // one for all of them
  events.announce_reload();
  stream->read(true);
  wait_for(3);
  stream->read(false); // the client has gone
  host.wait_until("the stream has ended", [&] { return stream->ended; });
}

TEST_CASE("REST: there are as many streams as are allowed, in all and for one address, and a place is free again") {
  StickHost host;
  host.rest_options.max_streams = 3;
  host.rest_options.max_streams_per_address = 2;
  host.start_rest();
  std::optional<HttpWire> first(host);
  HttpWire second(host, "127.0.0.2"), third(host), wire(host);
  listen(*first);
  listen(third);
  CHECK_THAT(problem_of(wire.ask("GET", "/api/1/events"), 503), ContainsSubstring("this address"));
  listen(second);
  HttpWire other(host, "127.0.0.3");
  CHECK_THAT(problem_of(other.ask("GET", "/api/1/events"), 503), ContainsSubstring("too many clients"));
  first.reset();
  const auto gets_one = [&] {
    HttpWire again(host);
    again.send("GET /api/1/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    return again.head().status == 200;
  };
  host.host.plug(host.root, 3, 2, 6); // which is when the service notices
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  bool free = false;
  while (!free && std::chrono::steady_clock::now() < deadline) free = gets_one();
  CHECK(free);
}

TEST_CASE("REST: events are for GET") {
  StickHost host;
  host.start_rest();
  HttpWire wire(host);
  const HttpAnswer posted = wire.ask("POST", "/api/1/events");
  problem_of(posted, 405);
  CHECK(posted.header("allow") == "GET");
}

TEST_CASE("REST: notifications have the id that lists have, also of an input device that shares its path tag") {
  StickHost host;
  host.host.add_input(3, 4, "Keys", "pci-1");
  host.host.add_input(4, 5, "Buttons", "pci-1");
  InputMatch match;
  match.name = "Buttons";
  InputRule rule;
  rule.vms.emplace_back("a");
  rule.allow.push_back(match);
  host.config.input_rules.push_back(rule);
  host.start_rest();
  HttpWire events(host), wire(host);
  listen(events);
  CHECK(events.event().type == "hello");
  CHECK(wire.ask("PUT", "/api/1/devices/input-pci-1-Buttons/attachment", {}, R"({"vm":"a"})").status == 200);
  const Json attached = events.event("notification").data;
  CHECK(attached.at("what") == Json("attached"));
  CHECK(attached.at("device") == Json("input-pci-1-Buttons"));
}

TEST_CASE("REST: the host has to be one that no web page can have chosen") {
  StickHost host;
  host.rest.allowed_origins.push_back("https://vms.example.org:8443");
  host.start_rest();
  HttpWire wire(host);
  for (const char* good : {"127.0.0.1", "localhost:5000", "LOCALHOST", "[::1]:5000", "192.0.2.1", "vms.example.org"})
    CHECK(wire.ask("GET", "/healthz", std::string("Host: ") + good + "\r\n").status == 200);
  for (const char* bad : {"evil.example.com", "127.0.0.1.example.com", "localhost.example.com", "[::1", "a:b:c",
                          "localhost:x", "127.0.0.1, evil.example.com", "0.0.0.0", "0.0.0.0:5000", "[::]:5000"})
    problem_of(wire.ask("GET", "/api/1/vms", std::string("Host: ") + bad + "\r\n"), 421);
  problem_of(wire.ask("GET", "/api/1/vms", "Host:\r\n"), 400);
  problem_of(wire.ask("GET", "/api/1/vms", "Host: localhost\r\nHost: localhost\r\n"), 400);
}

TEST_CASE("REST: pages of other origins change nothing, but those that are allowed") {
  StickHost host;
  host.rest.allowed_origins.push_back("https://vms.example.org");
  host.start_rest();
  HttpWire wire(host);
  const char* place = "/api/1/devices/usb-3-1/attachment";
  const std::string body = R"({"vm":"a"})";
  for (const char* foreign :
       {"Origin: http://evil.example.com\r\n", "Origin: null\r\n", "Sec-Fetch-Site: cross-site\r\n",
        "Origin: http://127.0.0.1:1\r\n", "Sec-Fetch-Site: same-site\r\n"}) {
    const HttpAnswer refused = wire.ask("PUT", place, foreign, body);
    problem_of(refused, 403);
    CHECK(refused.header("access-control-allow-origin").empty());
  }
  CHECK(host.qemu.count("device_add") == 0);
  problem_of(wire.ask("POST", "/api/1/vms/a/actions/pause", "Origin: http://evil.example.com\r\n"), 403);
  CHECK(host.qemu.count("stop") == 0);
  // Pictures and lists take monitors, and events take places.
  for (const char* target :
       {"/api/1/vms/a/screenshot.png", "/api/1/vms", "/api/1/events", "/metrics", "/api/0/version"})
    problem_of(wire.ask("GET", target, "Sec-Fetch-Site: cross-site\r\n"), 403);
  CHECK(host.qemu.count("screendump") == 0);
  for (const char* target : {"/", "/docs", "/healthz"}) // which people get to by links
    CHECK(wire.ask("GET", target, "Sec-Fetch-Site: cross-site\r\n").status == 200);
  const HttpAnswer asked = wire.ask("OPTIONS", place, "Origin: https://vms.example.org\r\n");
  CHECK(asked.status == 204);
  CHECK_THAT(asked.header("access-control-allow-methods"), ContainsSubstring("PUT"));
  CHECK(asked.header("access-control-allow-origin") == "https://vms.example.org");
  CHECK(
      wire.ask("OPTIONS", place, "Origin: http://evil.example.com\r\n").header("access-control-allow-methods").empty());
  const HttpAnswer allowed = wire.ask("PUT", place, "Origin: https://vms.example.org\r\n", body);
  CHECK(allowed.status == 200);
  CHECK(allowed.header("access-control-allow-origin") == "https://vms.example.org");
  CHECK(allowed.header("access-control-expose-headers") == "ETag");
  CHECK(allowed.header("cross-origin-resource-policy") == "cross-origin");
  CHECK(allowed.header("vary") == "Origin");
  const HttpAnswer plain = wire.ask("GET", "/api/1/vms"); // which a cache must not give to that page
  CHECK(plain.header("access-control-allow-origin").empty());
  CHECK(plain.header("vary") == "Origin");
  const std::string own = "http://127.0.0.1:" + std::to_string(host.server->port());
  CHECK(wire.ask("DELETE", place, "Origin: " + own + "\r\n").status == 200);
}

TEST_CASE("REST: with tokens nothing but the page is to be had without one") {
  StickHost host;
  host.rest.token_file = host.token_file();
  host.start_rest();
  HttpWire wire(host);
  for (const char* fields : {"", "Authorization: Bearer 0123456789abcdee\r\n",
                             "Authorization: Basic 0123456789abcdef\r\n", "Authorization: Bearer\r\n"}) {
    const HttpAnswer refused = wire.ask("GET", "/api/1/vms", fields);
    CHECK_THAT(problem_of(refused, 401), ContainsSubstring("Bearer"));
    CHECK_THAT(refused.header("www-authenticate"), StartsWith("Bearer"));
  }
  for (const char* target : {"/api/1/events", "/api/1", "/api/0/version", "/metrics", "/nothing"})
    problem_of(wire.ask("GET", target), 401);
  CHECK(wire.ask("GET", "/healthz").status == 200);
  CHECK(wire.ask("GET", "/").status == 200);
  const std::string token = "Authorization: bearer 0123456789abcdef\r\n";
  CHECK(wire.ask("GET", "/api/1/vms", token).status == 200);
  CHECK(wire.ask("PUT", "/api/1/devices/usb-3-1/attachment", token, R"({"vm":"a"})").status == 200);
  CHECK_THAT(host.audit().at(0), StartsWith("audit: 127.0.0.1 on rest with token ops: PUT"));
}

TEST_CASE("REST: the network is not served without a token") {
  RestHost host;
  host.start();
  host.rest.host = "0.0.0.0";
  CHECK_THROWS_WITH(RestServer(host.io.get_executor(), *host.engine, host.rest), ContainsSubstring("tokenFile"));
  host.rest.token_file = host.token_file();
  CHECK(RestServer(host.io.get_executor(), *host.engine, host.rest).port() > 0);
}

TEST_CASE("REST: permissions hold for REST, too") {
  StickHost host;
  ApiPermission permission;
  permission.transport = "rest";
  permission.may = ApiLevel::attach;
  host.rest_options.permissions.emplace(1, permission);
  host.start_rest();
  HttpWire wire(host);
  CHECK(wire.ask("PUT", "/api/1/devices/usb-3-1/attachment", {}, R"({"vm":"a"})").status == 200);
  CHECK_THAT(problem_of(wire.ask("POST", "/api/1/vms/a/actions/pause"), 403), ContainsSubstring("admin"));
  problem_of(wire.ask("GET", "/api/1/vms/a/screenshot.png"), 403);
  CHECK(wire.ask("GET", "/api/1/permissions").body == R"({"everywhere":"attach","vms":{}})");
}

TEST_CASE("REST: somebody who may see one VM sees and hears of it live, and never the name of another") {
  StickHost host;
  host.add_vm("secret");
  const FakeQemu secret(host.socket("secret"));
  host.config.usb_rules.front().vms = {"a", "secret"};
  host.add_rule("Lamp", "secret");
  host.rest_options.permissions.emplace(1, permission("", ApiLevel::attach, "a"));
  host.start_rest();
  HttpWire wire(host);
  const auto get = [&](const std::string& target) {
    const HttpAnswer answer = wire.ask("GET", target);
    CHECK(answer.status == 200);
    CHECK(answer.body.find("secret") == std::string::npos);
    return answer.json();
  };
  std::string last;
  const auto next = [&](HttpWire& events, std::string_view type) {
    for (;;) {
      HttpWire::Event event = events.event();
      INFO(event.data.dump());
      CHECK(event.data.dump().find("secret") == std::string::npos);
      last = event.id;
      if (event.type == type) return event.data;
    }
  };
  CHECK(wire.ask("GET", "/api/1/permissions").body == R"({"everywhere":"none","vms":{"a":"attach"}})");
  for (const char* about_all : {"/api/1/rules", "/api/1/devices/usb-3-1/explanation", "/metrics"})
    CHECK(problem_of(wire.ask("GET", about_all), 403).find("secret") == std::string::npos);
  problem_of(wire.ask("GET", "/api/1/vms/secret"), 404);
  problem_of(wire.ask("GET", "/api/1/vms/secret/screenshot.png"), 404);
  problem_of(wire.ask("POST", "/api/1/vms/secret/actions/pause"), 404);
  CHECK(secret.count("stop") == 0);
  CHECK(get("/api/1/vms").at("vms").size() == 1);
  const Json stick = get("/api/1/devices").at("devices").at(0);
  CHECK(stick.at("allowedVms").dump() == R"(["a"])");
  CHECK(stick.at("targets").dump() == R"([{"vm":"a","possible":true,"reason":null}])");

  std::optional<HttpWire> events(host);
  listen(*events);
  CHECK(next(*events, "hello").at("resumed") == Json(false));
  host.host.plug(host.root, 3, 2, 6, "Lamp"); // for the other VM
  host.wait_for("3-2", "secret");
  CHECK(wire.ask("PUT", "/api/1/devices/usb-3-1/attachment", {}, R"({"vm":"a"})").status == 200);
  CHECK(next(*events, "notification").at("what") == Json("attached"));
  while (next(*events, "device").at("state") != Json("attached")) {
  }
  CHECK(get("/api/1/devices").at("devices").size() == 1);

  asio::co_spawn(host.io, host.engine->attach(host.state("3-1").device.sys_path, "secret"), [](std::exception_ptr) {});
  host.wait_for("3-1", "secret");
  CHECK(next(*events, "notification").at("what") == Json("detached"));
  while (next(*events, "device").at("problem") != Json("it is in a VM that you may not see")) {
  }
  CHECK(get("/api/1/devices/usb-3-1").at("vm") == Json());
  CHECK(get("/api/1/devices/usb-3-1").at("targets").dump() ==
        R"([{"vm":"a","possible":false,"reason":"it is in a VM that you may not see"}])");
  const HttpAnswer refused = wire.ask("PUT", "/api/1/devices/usb-3-1/attachment", {}, R"({"vm":"a"})");
  CHECK(problem_of(refused, 403).find("secret") == std::string::npos);

  events.reset();
  host.host.pull(host.stick);
  events.emplace(host);
  listen(*events, "Last-Event-ID: " + last + "\r\n");
  CHECK(next(*events, "hello").at("resumed") == Json(true));
  CHECK(next(*events, "device-removed").at("id") == Json("usb-3-1"));
}

TEST_CASE("REST: lists ask no VM whose state the caller may not see") {
  StickHost host;
  host.config.vms.clear();
  host.add_vm("a", "yield");
  host.add_vm("c", "yield");
  const FakeQemu c(host.socket("c"));
  host.options.idle_before_yield = std::chrono::milliseconds(10);
  host.rest_options.permissions.emplace(1, permission("", ApiLevel::read, "a"));
  host.start_rest();
  host.wait_until("both are left alone", [&] {
    for (const VmState& vm : host.engine->vms())
      if (vm.link != LinkState::yielded) return false;
    return true;
  });
  const int before = host.qemu.count("qmp_capabilities"), hidden = c.count("qmp_capabilities");
  CHECK(ask(host, "GET", "/api/1/vms").json().at("vms").size() == 1);
  CHECK(host.qemu.count("qmp_capabilities") == before + 1);
  CHECK(c.count("qmp_capabilities") == hidden);
}

TEST_CASE("REST: somebody who may see nothing gets no events") {
  StickHost host;
  host.rest_options.permissions.emplace();
  host.start_rest();
  HttpWire wire(host);
  problem_of(wire.ask("GET", "/api/1/events"), 403);
  problem_of(wire.ask("GET", "/api/1/permissions"), 403);
}

TEST_CASE("REST: every answer tells browsers what they may do with it") {
  StickHost host;
  host.start_rest();
  HttpWire wire(host);
  for (const char* target : {"/", "/api/1/vms", "/nothing", "/healthz"}) {
    const HttpAnswer answer = wire.ask("GET", target);
    CHECK(answer.header("content-security-policy") ==
          "default-src 'self'; img-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
          "object-src 'none'");
    CHECK(answer.header("x-content-type-options") == "nosniff");
    CHECK(answer.header("x-frame-options") == "DENY");
    CHECK(answer.header("referrer-policy") == "no-referrer");
    CHECK(answer.header("cross-origin-opener-policy") == "same-origin");
    CHECK(answer.header("cross-origin-resource-policy") == "same-origin");
    CHECK(answer.header("access-control-allow-origin").empty());
    CHECK(answer.header("vary").empty());
  }
  const HttpAnswer page = wire.ask("GET", "/");
  CHECK(page.header("content-type") == "text/html; charset=utf-8");
  CHECK(wire.ask("GET", "/", "If-None-Match: W/" + page.header("etag") + "\r\n").status == 304);
  const HttpAnswer head = wire.ask("HEAD", "/");
  CHECK(head.header("content-length") == std::to_string(page.body.size()));
  problem_of(wire.ask("POST", "/"), 405);
}

TEST_CASE("REST: hostile requests end in a refusal, and do nothing") {
  StickHost host;
  host.start_rest();
  const auto outcome = [&](const std::string& bytes) {
    HttpWire wire(host);
    wire.send(bytes);
    const std::optional<HttpAnswer> answer = wire.answer();
    return answer ? answer->status : 0;
  };
  const std::string put = "PUT /api/1/devices/usb-3-1/attachment HTTP/1.1\r\nHost: localhost\r\n"
                          "Content-Type: application/json\r\n";
  // Two readings of where the body ends.
  CHECK(outcome(put + "Content-Length: 10\r\nTransfer-Encoding: chunked\r\n\r\na\r\n{\"vm\":\"a\"}\r\n0\r\n\r\n") ==
        400);
  CHECK(outcome(put + "Content-Length: 10\r\nContent-Length: 11\r\n\r\n{\"vm\":\"a\"} ") == 400);
  CHECK(outcome(put + "Transfer-Encoding: xchunked\r\n\r\na\r\n{\"vm\":\"a\"}\r\n0\r\n\r\n") == 400);
  CHECK(outcome(put + "Content-Length: -1\r\n\r\n{\"vm\":\"a\"}") == 400);
  CHECK(outcome(put + "Content-Length : 10\r\n\r\n{\"vm\":\"a\"}") == 400);
  {
    HttpWire wire(host); // what follows may be another one's, to those who read it otherwise
    wire.send(put + "Content-Length : 10\r\n\r\n{\"vm\":\"a\"}");
    CHECK(wire.answer().value().header("connection") == "close");
    wire.wait_until_closed();
  }
  // Somewhat too much.
  CHECK(outcome(put + "Content-Length: 150000\r\n\r\n" + std::string(150'000, ' ')) == 413);
  CHECK(outcome(put + "Transfer-Encoding: chunked\r\n\r\n25000\r\n" + std::string(0x25000, ' ') + "\r\n0\r\n\r\n") ==
        413);
  const std::string field = ": " + std::string(10'000, 'x') + "\r\n";
  CHECK(outcome(put + "X" + field + "Y" + field + "\r\n") == 431);
  CHECK(outcome("GET /" + std::string(10'000, 'x') + " HTTP/1.1\r\nHost: localhost\r\n\r\n") == 414);
  // Far too much.
  CHECK(outcome(put + "Content-Length: 1000000000000\r\n\r\n") == 413);
  CHECK(outcome(put + "Content-Length: 200000\r\n\r\n" + std::string(200'000, ' ')) == 413);
  CHECK(outcome(put + "X: " + std::string(100'000, 'x') + "\r\n\r\n") == 431);
  CHECK(outcome("GET /" + std::string(100'000, 'x') + " HTTP/1.1\r\nHost: localhost\r\n\r\n") == 414);
  std::string many = put;
  for (int i = 0; i < 1'000; ++i) many += "X" + std::to_string(i) + ": 1\r\n";
  CHECK(outcome(many + "\r\n") == 431);
  // No HTTP, or another one.
  CHECK(outcome(std::string("\x16\x03\x01\x02\x00", 5) + std::string(100, 'x')) == 400);
  CHECK(outcome("GET / HTTP/1.1\nHost localhost\n\n") == 400);
  CHECK(outcome("CONNECT localhost:22 HTTP/1.1\r\nHost: localhost\r\n\r\n") == 400);
  CHECK(outcome("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n") == 400);
  // Paths that lead elsewhere.
  for (const char* path : {"/../etc/passwd", "/%2e%2e/etc/passwd", "/api/1/devices/..%2f..", "/a%00b", "/%zz", "/%f",
                           "/api/1/vms/%2e%2e/actions/start", "/index.html%00.png"}) {
    INFO(path);
    const int status = outcome("GET " + std::string(path) + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK((status == 400 || status == 404));
  }
  CHECK(outcome(put + "Content-Length: 200\r\n\r\n" + std::string(100, '[') + std::string(100, ']')) == 400);
  CHECK(host.qemu.count("device_add") == 0);
  CHECK(ask(host, "GET", "/healthz").status == 200);
}

TEST_CASE("REST: requests on one connection are answered in their order") {
  StickHost host;
  host.start_rest();
  HttpWire wire(host);
  wire.send(
      "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /api/1/vms/b HTTP/1.1\r\nHost: localhost\r\n\r\nGET /no");
  CHECK(wire.answer().value().body == "ok\n");
  CHECK(wire.answer().value().json().at("name") == Json("b"));
  wire.send("thing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  CHECK(wire.answer().value().status == 404);
  wire.wait_until_closed();
}
