// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// The events of the REST API.
#include "rest_events.hpp"

#include "catch.hpp"
#include "fake_qemu.hpp"
#include "stick_host.hpp"

#include <asio/co_spawn.hpp>

#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

using namespace hotplug;
using Catch::Matchers::ContainsSubstring;
using qemuctl::Json;
using test::ask;
using test::FakeQemu;
using test::HttpAnswer;
using test::HttpWire;
using test::listen;
using test::permission;
using test::problem_of;
using test::StickHost;

TEST_CASE("REST: events report changes, and resume after the last one that was read") {
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

TEST_CASE("REST: events are kept no longer than a client may take to reconnect") {
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

TEST_CASE("REST: a quiet stream has regular comments, so that a client knows that the service is alive") {
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

TEST_CASE("REST: a client that reads too slowly is told to read everything again") {
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

TEST_CASE("REST: the number of streams is limited, in total and for each address, until one ends") {
  StickHost host;
  host.rest_options.quiet_time = std::chrono::milliseconds(10); // when it is seen that a client has gone
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
  CHECK_THAT(problem_of(other.ask("GET", "/api/1/events"), 503), ContainsSubstring("too many event streams"));
  first.reset();
  const auto gets_one = [&] {
    HttpWire again(host);
    again.send("GET /api/1/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    return again.head().status == 200;
  };
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  bool free = false;
  while (!free && std::chrono::steady_clock::now() < deadline) free = gets_one();
  CHECK(free);
}

TEST_CASE("REST: events can only be read, with GET") {
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

TEST_CASE("REST: a caller with rights to one VM sees it and its events live, and never the name of another") {
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

TEST_CASE("REST: callers are not offered what would be refused, or shown rules that may name hidden VMs") {
  StickHost host;
  for (const char* vm : {"c", "secret"}) host.add_vm(vm);
  const FakeQemu c(host.socket("c")), secret(host.socket("secret"));
  host.config.usb_rules.front().vms = {"a", "c", "secret"};
  host.config.usb_rules.front().description = "secret's stick";
  host.rest_options.permissions.emplace();
  host.rest_options.permissions->push_back(permission("", ApiLevel::attach, "a"));
  host.rest_options.permissions->push_back(permission("", ApiLevel::read, "c"));
  host.start_rest();
  HttpWire wire(host);
  const std::string resource = "/api/1/devices/usb-3-1", attachment = resource + "/attachment";
  const auto reasons = [&] {
    const HttpAnswer answer = wire.ask("GET", resource);
    CHECK(answer.body.find("secret") == answer.body.npos);
    const Json device = answer.json();
    CHECK(device.at("rule") == Json());
    std::vector<std::string> all;
    for (const Json* each : {&device.at("targets").at(0), &device.at("targets").at(1), &device.at("detach")}) {
      CHECK(each->at("possible").as_bool() == each->at("reason").is_null());
      all.push_back(each->at("possible").as_bool() ? "" : each->at("reason").as_string());
    }
    return all;
  };
  const auto refuses_all = [&] {
    problem_of(wire.ask("DELETE", attachment), 403);
    problem_of(wire.ask("PUT", attachment, {}, R"({"vm":"c"})"), 403);
    problem_of(wire.ask("PUT", attachment, {}, R"({"vm":"a"})"), 403);
  };
  const auto attach = [&](const std::string& vm) {
    asio::co_spawn(host.io, host.engine->attach(host.state("3-1").device.sys_path, vm), [](std::exception_ptr) {});
    host.wait_for("3-1", vm);
  };
  const std::string of_c = "you may not move devices of VM c", hidden = "it is in a VM that you may not see",
                    meant = "it is meant for a VM that you may not see";
  using Reasons = std::vector<std::string>;
  CHECK(reasons() == Reasons{"", of_c, ""});
  CHECK(wire.ask("PUT", attachment, {}, R"({"vm":"a"})").status == 200);
  CHECK(reasons() == Reasons{"it is there", of_c, ""});
  CHECK(wire.ask("DELETE", attachment).status == 200);
  CHECK(reasons() == Reasons{"", of_c, "it is there"});
  attach("c");
  CHECK(reasons() == Reasons{of_c, "it is there", of_c});
  refuses_all();
  attach("secret");
  CHECK(reasons() == Reasons{hidden, of_c, hidden});
  refuses_all();
  asio::co_spawn(host.io, host.engine->suspend(DeviceKind::usb, ""), [](std::exception_ptr) {});
  host.wait_until("it is out", [&] { return !host.state("3-1").vm; });
  CHECK(reasons() == Reasons{meant, of_c, meant});
  refuses_all();
}

TEST_CASE("REST: a caller who may see nothing gets no events") {
  StickHost host;
  host.rest_options.permissions.emplace();
  host.start_rest();
  HttpWire wire(host);
  problem_of(wire.ask("GET", "/api/1/events"), 403);
  problem_of(wire.ask("GET", "/api/1/permissions"), 403);
}
