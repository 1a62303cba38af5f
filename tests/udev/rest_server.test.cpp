// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// The REST API with devices of umockdev's and QEMUs that do what they are told.
#include "catch.hpp"
#include "fake_qemu.hpp"
#include "golden.hpp"
#include "stick_host.hpp"

#include <chrono>
#include <optional>
#include <string>

using namespace hotplug;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
using qemuctl::Json;
using test::ask;
using test::FakeQemu;
using test::HttpAnswer;
using test::HttpWire;
using test::problem_of;
using test::StickHost;

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

TEST_CASE("REST: what is impossible is answered with a problem") {
  StickHost host([](const FakeQemu::Command& command) {
    return command.name == "device_add" ? FakeQemu::Fate::refused : FakeQemu::Fate::done;
  });
  test::write_file(host.dir / "c.json", R"({"name": "c", "boot": {"kernel": "nothing"}})");
  VmEntry& without_kernel = host.config.vms.emplace_back();
  without_kernel.name = "c";
  without_kernel.config = host.dir / "c.json";
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
  CHECK_THAT(problem_of(wire.ask("POST", "/api/1/vms/c/actions/start"), 422),
             ContainsSubstring("nothing: No such file"));
}

TEST_CASE("REST: a VM that does not answer has a problem type of its own") {
  StickHost host([](const FakeQemu::Command& command) {
    const bool silent = command.name == "stop" || command.name == "device_del";
    if (command.name == "cont") return FakeQemu::Fate::cut;
    return silent ? FakeQemu::Fate::ignored : FakeQemu::Fate::done;
  });
  host.options.command_timeout = std::chrono::milliseconds(500);
  host.options.request_timeout = std::chrono::milliseconds(2'000);
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

TEST_CASE("REST: entity tags save answers, and keep people from undoing what others did") {
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

TEST_CASE("REST: VMs are paused, resumed and sent keys") {
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
