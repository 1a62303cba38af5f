// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// Who may use the REST API, and which web pages.
#include "catch.hpp"
#include "fake_qemu.hpp"
#include "stick_host.hpp"

#include <chrono>
#include <string>
#include <vector>

using namespace hotplug;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
using test::ask;
using test::FakeQemu;
using test::HttpAnswer;
using test::HttpWire;
using test::listen;
using test::permission;
using test::problem_of;
using test::RestHost;
using test::StickHost;

TEST_CASE("REST: a new configuration changes tokens, permissions and origins at once, and ends the streams concerned") {
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
  CHECK(host.logged("after a restart"));
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

TEST_CASE("REST: a service that the network can reach refuses a configuration without tokens") {
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

TEST_CASE("REST: pages of other origins cannot change anything unless they are allowed") {
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

TEST_CASE("REST: if there are tokens, only the page is available without one") {
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

TEST_CASE("REST: the service does not listen to the network without a token file") {
  RestHost host;
  host.start();
  host.rest.host = "0.0.0.0";
  CHECK_THROWS_WITH(RestServer(host.io.get_executor(), *host.engine, host.rest), ContainsSubstring("tokenFile"));
  host.rest.token_file = host.token_file();
  CHECK(RestServer(host.io.get_executor(), *host.engine, host.rest).port() > 0);
}

TEST_CASE("REST: permissions apply to REST") {
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

TEST_CASE("REST: lists do not query VMs that the caller may not see") {
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
