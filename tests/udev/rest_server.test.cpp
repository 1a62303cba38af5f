// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// The REST API with devices of umockdev's and QEMUs that do what they are told.
#include "catch.hpp"
#include "fake_qemu.hpp"
#include "rest_host.hpp"

#include <qemuctl/error.hpp>

#include <chrono>
#include <string>

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
  CHECK_FALSE(json.at("title").as_string().empty());
  return json.at("detail").as_string();
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
  CHECK_THAT(problem_of(wire.ask("PUT", place, {}, R"({"vm":"b"})"), 409), ContainsSubstring("does not run"));
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
  const auto listen = [&](HttpWire& wire, const std::string& fields = {}) {
    wire.send("GET /api/1/events HTTP/1.1\r\nHost: localhost\r\n" + fields + "\r\n");
    const HttpAnswer head = wire.head();
    CHECK(head.status == 200);
    CHECK(head.header("content-type") == "text/event-stream");
  };
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
    CHECK(other.event().type == "reload");
  }
  host.server->announce_reload();
  CHECK(wire.event("reload").data.at("resumed") == Json(false));
}

TEST_CASE("REST: the host has to be one that no web page can have chosen") {
  StickHost host;
  host.rest.allowed_origins.push_back("https://vms.example.org:8443");
  host.start_rest();
  HttpWire wire(host);
  for (const char* good : {"127.0.0.1", "localhost:5000", "LOCALHOST", "[::1]:5000", "192.0.2.1", "vms.example.org"})
    CHECK(wire.ask("GET", "/healthz", std::string("Host: ") + good + "\r\n").status == 200);
  for (const char* bad : {"evil.example.com", "127.0.0.1.example.com", "localhost.example.com", "[::1", "a:b:c",
                          "localhost:x", "127.0.0.1, evil.example.com"})
    problem_of(wire.ask("GET", "/api/1/vms", std::string("Host: ") + bad + "\r\n"), 421);
  problem_of(wire.ask("GET", "/api/1/vms", "Host: localhost\r\nHost: localhost\r\n"), 400);
  problem_of(wire.ask("GET", "/api/1/vms", "Host:\r\n"), 400);
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
  const HttpAnswer asked = wire.ask("OPTIONS", place, "Origin: https://vms.example.org\r\n");
  CHECK(asked.status == 204);
  CHECK_THAT(asked.header("access-control-allow-methods"), ContainsSubstring("PUT"));
  CHECK(asked.header("access-control-allow-origin") == "https://vms.example.org");
  CHECK(
      wire.ask("OPTIONS", place, "Origin: http://evil.example.com\r\n").header("access-control-allow-methods").empty());
  CHECK(wire.ask("PUT", place, "Origin: https://vms.example.org\r\n", body).status == 200);
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
  problem_of(wire.ask("GET", "/api/1/events"), 401);
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

TEST_CASE("REST: somebody who may see one VM only sees and hears nothing of others") {
  StickHost host;
  host.add_vm("c");
  const FakeQemu c(host.socket("c"));
  host.add_rule("Lamp", "c");
  host.options.attach_connected = true;
  ApiPermission permission;
  permission.transport = "rest";
  permission.may = ApiLevel::attach;
  permission.vms.emplace().emplace_back("a");
  host.rest_options.permissions.emplace(1, permission);
  host.start_rest();
  host.wait_for("3-1", "a");
  while (ask(host, "GET", "/api/1/vms/a").json().at("state") != Json("running")) {
  }
  HttpWire events(host);
  events.send("GET /api/1/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
  CHECK(events.head().status == 200);
  CHECK(events.event().type == "hello");
  host.host.plug(host.root, 3, 2, 6, "Lamp");
  host.wait_for("3-2", "c");
  HttpWire wire(host);
  CHECK(wire.ask("GET", "/api/1/permissions").body == R"({"everywhere":"none","vms":{"a":"attach"}})");
  const HttpAnswer devices = wire.ask("GET", "/api/1/devices");
  CHECK(devices.json().at("devices").size() == 1);
  CHECK(devices.json().at("devices").at(0).at("targets").size() == 1);
  CHECK(wire.ask("GET", "/api/1/vms").json().at("vms").size() == 1);
  CHECK_FALSE(events.has_event());
  CHECK(wire.ask("DELETE", "/api/1/devices/usb-3-1/attachment").status == 200);
  CHECK(events.event().type == "reload");
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
    CHECK_THAT(answer.header("content-security-policy"), StartsWith("default-src 'self'"));
    CHECK(answer.header("x-content-type-options") == "nosniff");
    CHECK(answer.header("access-control-allow-origin").empty());
  }
  const HttpAnswer page = wire.ask("GET", "/");
  CHECK(page.header("content-type") == "text/html; charset=utf-8");
  CHECK(wire.ask("GET", "/", "If-None-Match: W/" + page.header("etag") + "\r\n").status == 304);
  const HttpAnswer head = wire.ask("HEAD", "/");
  CHECK(head.header("content-length") == std::to_string(page.body.size()));
  problem_of(wire.ask("POST", "/"), 405);
}

TEST_CASE("REST: hostile requests end in a refusal or without an answer, and do nothing") {
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
  CHECK(outcome(put + "Content-Length: 10\r\nTransfer-Encoding: chunked\r\n\r\na\r\n{\"vm\":\"a\"}\r\n0\r\n\r\n") == 0);
  CHECK(outcome(put + "Content-Length: 10\r\nContent-Length: 11\r\n\r\n{\"vm\":\"a\"} ") == 0);
  CHECK(outcome(put + "Transfer-Encoding: xchunked\r\n\r\na\r\n{\"vm\":\"a\"}\r\n0\r\n\r\n") == 0);
  CHECK(outcome(put + "Content-Length: -1\r\n\r\n{\"vm\":\"a\"}") == 0);
  CHECK(outcome(put + "Content-Length : 10\r\n\r\n{\"vm\":\"a\"}") == 400);
  // Somewhat too much.
  CHECK(outcome(put + "Content-Length: 200000\r\n\r\n" + std::string(200'000, ' ')) == 413);
  CHECK(outcome(put + "Transfer-Encoding: chunked\r\n\r\n30000\r\n" + std::string(0x30000, ' ') + "\r\n0\r\n\r\n") ==
        413);
  const std::string field = ": " + std::string(10'000, 'x') + "\r\n";
  CHECK(outcome(put + "X" + field + "Y" + field + "\r\n") == 431);
  CHECK(outcome("GET /" + std::string(10'000, 'x') + " HTTP/1.1\r\nHost: localhost\r\n\r\n") == 414);
  // Far too much.
  CHECK(outcome(put + "Content-Length: 1000000000000\r\n\r\n") == 0);
  CHECK(outcome(put + "Content-Length: 2000000\r\n\r\n" + std::string(2'000'000, ' ')) == 0);
  CHECK(outcome(put + "X: " + std::string(100'000, 'x') + "\r\n\r\n") == 0);
  CHECK(outcome("GET /" + std::string(100'000, 'x') + " HTTP/1.1\r\nHost: localhost\r\n\r\n") == 0);
  std::string many = put;
  for (int i = 0; i < 1'000; ++i) many += "X" + std::to_string(i) + ": 1\r\n";
  CHECK(outcome(many + "\r\n") == 0);
  // No HTTP, or another one.
  CHECK(outcome(std::string("\x16\x03\x01\x02\x00", 5) + std::string(100, 'x')) == 0);
  CHECK(outcome("GET / HTTP/1.1\nHost localhost\n\n") == 0);
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
