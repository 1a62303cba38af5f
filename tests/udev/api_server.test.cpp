// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// Connections, requests and sockets of the device API.
#include "api_cases.hpp"
#include "catch.hpp"

#include <asio/local/stream_protocol.hpp>
#include <grp.h>
#include <pwd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

using namespace hotplug;
using namespace test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
using qemuctl::Json;

TEST_CASE("requests are answered in their order, however the bytes come") {
  ApiStickHost host;
  host.start_api();
  Wire wire(host);
  wire.send(R"({"action":"version","id":1})"
            "\n"
            R"({"action":"vm_list","id":2})"
            "\n\n  \r\n"
            R"({"action":"versi)");
  CHECK(wire.message().at("id") == Json(1));
  CHECK(wire.message().at("id") == Json(2));
  wire.send(R"(on","id":{"deep":[3]}})");
  wire.send("\r\n");
  CHECK(wire.message() ==
        Json::object({{"result", "ok"}, {"version", "1.2.3"}, {"id", qemuctl::parse_json(R"({"deep":[3]})")}}));
  // A slow one first: the next one waits for it.
  wire.send(std::string(attach) + "\n" + R"({"action":"version","id":9})" + "\n");
  CHECK(*wire.line() == ok);
  CHECK(wire.message().at("id") == Json(9));
}

TEST_CASE("a line that is not a request gets an answer, and the connection stays open") {
  ApiStickHost host;
  host.start_api();
  Wire wire(host);
  CHECK_THAT(error_of(wire.ask("nonsense")), ContainsSubstring("request:1:1"));
  CHECK_THAT(error_of(wire.ask("[]")), ContainsSubstring("a request is a JSON object"));
  CHECK_THAT(error_of(wire.ask(R"({"action":"usb_atach","id":7})")), ContainsSubstring("did you mean usb_attach?"));
  CHECK_THAT(wire.ask(R"({"action":"usb_atach","id":7})"), ContainsSubstring(R"("id":7})"));
  CHECK_THAT(error_of(wire.ask(R"({"action":"usb_attach","bus":"x","port":1})")), ContainsSubstring("field bus"));
  error_of(wire.ask("{\"action\":\"\xff\xfe\"}"));
  error_of(wire.ask(std::string("{\"action\":\"usb_list\"\0}", 22)));
  error_of(wire.ask(std::string(100'000, '[')));
  error_of(wire.ask(R"({"action":"version","id":)" + std::string(17, '[') + std::string(17, ']') + "}"));
  CHECK_THAT(error_of(wire.ask(R"({"action":")" + std::string(10'000'000, 'x') + "\"}")),
             ContainsSubstring("more than 1048576 bytes"));
  CHECK_THAT(error_of(wire.ask(R"({"action":")" + std::string(1'000'000, 'x') + "\"}")),
             ContainsSubstring("unknown action"));
  CHECK_THAT(wire.ask(R"({"action":"version"})"), StartsWith(R"({"result":"ok")"));
  CHECK(host.audit().size() == 1); // the one that would have changed something
}

TEST_CASE("over TCP, a browser that a web page abuses is disconnected before its request is read") {
  ApiStickHost host;
  host.api.transports = {"tcp"};
  host.api.port = 0;
  host.start_api();
  for (const std::string& begin : {std::string("POST / HTTP/1.1"), std::string(2 << 20, 'x'), std::string("[1]")}) {
    Wire wire(host, host.server->tcp_port());
    wire.send(begin + "\r\nHost: 127.0.0.1\r\n\r\n" + attach + "\n");
    CHECK_FALSE(error_of(wire.line().value()).empty());
    CHECK_FALSE(wire.line());
  }
  CHECK(host.qemu.count("device_add") == 0);
  Wire client(host, host.server->tcp_port());
  CHECK(client.ask(attach) == ok);
  CHECK_THAT(error_of(client.ask("nonsense")), ContainsSubstring("request:1:1"));
  CHECK(client.ask(detach) == ok);
}

TEST_CASE("a client that does not read its events is disconnected, and the others receive all of them") {
  ApiHost host;
  host.start_api();
  Wire stuck(host), reader(host);
  CHECK(stuck.ask(hear) == ok);
  CHECK(reader.ask(hear) == ok);
  stuck.stop_reading();
  const std::string name(4'000, 'x'); // as much as sysfs has in a file
  int told = 0;
  for (int i = 0; !host.logged("does not read"); ++i) {
    REQUIRE(i < 1'000);
    const std::string path = host.host.plug(host.root, 3, 1 + i % 10, 5 + i % 10, name);
    CHECK(reader.message().at("event") == Json("usb_connected"));
    host.host.pull(path);
    CHECK(reader.message().at("event") == Json("usb_disconnected"));
    told += 2;
  }
  CHECK(told > 200); // it had its mebibyte
  CHECK_THAT(reader.ask(R"({"action":"version"})"), StartsWith(R"({"result":"ok")"));
}

TEST_CASE("a client receives events that occur while it is reading a large answer") {
  ApiHost host;
  host.start_api();
  Wire wire(host), other(host);
  CHECK(wire.ask(hear) == ok);
  wire.stop_reading();
  // The number is longer in the answer.
  std::string id = "[1e3";
  while (id.size() < 1'000'000) id += ",1e3";
  wire.send(R"({"action":"version","id":)" + id + "]}\n");
  host.wait_until("the answer comes", [&] { return wire.unread() > 0; });
  CHECK_THAT(other.ask(R"({"action":"version"})"), StartsWith(R"({"result":"ok")"));
  host.host.plug(host.root, 3, 1, 5, "New");
  host.wait_until("it is there", [&] { return host.is_there("3-1"); });
  CHECK_THAT(other.ask(R"({"action":"version"})"), StartsWith(R"({"result":"ok")"));
  wire.go_on_reading();
  const std::string answer = wire.line().value();
  CHECK(answer.size() > (3 << 19)); // more than may wait of events, and what the socket takes
  CHECK(wire.message().at("event") == Json("usb_connected"));
  CHECK_FALSE(host.logged("does not read"));
}

TEST_CASE("answers wait for a client that reads slowly, and none is lost") {
  ApiHost host;
  for (int i = 1; i <= 9; ++i) host.host.plug(host.root, 3, i, i + 1, std::string(4'000, 'x'));
  host.start_api();
  Wire wire(host);
  constexpr int requests = 200; // 8 MB of answers
  std::string all;
  for (int i = 0; i < requests; ++i)
    all += R"({"action":"usb_list"})"
           "\n";
  wire.send(all);
  for (int i = 0; i < requests; ++i) CHECK(wire.line()->size() > 36'000);
}

TEST_CASE("a client that does not read its answers is not asked for more requests until it does") {
  ApiHost host;
  for (int i = 1; i <= 9; ++i) host.host.plug(host.root, 3, i, i + 1, std::string(4'000, 'x'));
  host.start_api();
  Wire wire(host), other(host);
  CHECK_THAT(wire.ask(R"({"action":"version"})"), StartsWith(R"({"result":"ok")"));
  wire.stop_reading();
  constexpr std::size_t requests = 200;
  std::string all;
  for (std::size_t i = 0; i < requests; ++i) // each is answered with all names, and then leaves a line in the log
    all += R"({"action":"usb_list"})"
           "\n"
           R"({"action":"auth","token":"none"})"
           "\n";
  wire.send(all);
  host.wait_until("it is answered", [&] { return host.audit().size() > 5; });
  for (int i = 0; i < 300; ++i) other.ask(R"({"action":"version"})");
  CHECK(host.audit().size() < 40); // a quarter of a mebibyte, and what the socket takes
  wire.go_on_reading();
  for (std::size_t i = 0; i < requests; ++i) {
    CHECK(wire.line()->size() > 36'000);
    CHECK_FALSE(error_of(wire.line().value()).empty());
  }
  CHECK(host.audit().size() == requests);
}

TEST_CASE("a line with a hundred thousand members is refused while others are served") {
  ApiStickHost host;
  host.api.transports = std::vector<std::string>(1, "tcp");
  write_tokens(host.dir / "tokens");
  host.api.token_file = (host.dir / "tokens").string();
  host.start_api();
  std::string line = R"({"action":"usb_attach")";
  for (int i = 0; line.size() < 1'000'000; ++i) line += ",\"" + std::to_string(i) + "\":0";
  Wire hostile(host, host.server->tcp_port()), other(host, host.server->tcp_port());
  const auto begin = std::chrono::steady_clock::now();
  hostile.send(line + "}\n");
  CHECK_THAT(other.ask(R"({"action":"version"})"), StartsWith(R"({"result":"ok")"));
  error_of(hostile.line().value());
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(3));
  REQUIRE(host.audit().size() == 1);
  CHECK(host.audit()[0].size() < 600);
}

TEST_CASE("an unexpected failure is answered and logged, and the connection stays open") {
  ApiStickHost host;
  host.start_api();
  Wire wire(host);
  const std::string before = ::getenv("TMPDIR") ? ::getenv("TMPDIR") : "";
  ::setenv("TMPDIR", "/nonexistent", 1);
  const std::string answer = wire.ask(R"({"action":"vm_screenshot","vm":"a","id":5})");
  if (before.empty())
    ::unsetenv("TMPDIR");
  else
    ::setenv("TMPDIR", before.c_str(), 1);
  CHECK_THAT(error_of(answer), ContainsSubstring("temp"));
  CHECK(qemuctl::parse_json(answer).at("id") == Json(5));
  CHECK_THAT(host.audit().at(0), ContainsSubstring("vm_screenshot"));
  CHECK_THAT(wire.ask(R"({"action":"version"})"), StartsWith(R"({"result":"ok")"));
}

TEST_CASE("the Unix socket has its mode, replaces one that nobody serves, and leaves one alone that somebody serves") {
  ApiHost host;
  { // left by a service that was killed
    asio::local::stream_protocol::acceptor stale(host.io,
                                                 asio::local::stream_protocol::endpoint(host.api_path().string()));
  }
  REQUIRE(std::filesystem::is_socket(host.api_path()));
  host.start_api();
  struct stat status {};
  ::stat(host.api_path().c_str(), &status);
  CHECK((status.st_mode & 07777) == 0660);
  CHECK_THROWS_WITH(ApiServer(host.io.get_executor(), *host.engine, host.api),
                    ContainsSubstring("process " + std::to_string(::getpid()) + " listens there"));
  // Also when its socket is not one any more, or not its own.
  std::filesystem::remove(host.api_path());
  CHECK_THROWS_WITH(ApiServer(host.io.get_executor(), *host.engine, host.api),
                    ContainsSubstring("another process listens"));
  host.api.unix_socket = (host.dir / "other").string();
  host.api.unix_socket_group = "no such group";
  CHECK_THROWS_WITH(ApiServer(host.io.get_executor(), *host.engine, host.api), ContainsSubstring("unixSocketGroup"));
  CHECK_FALSE(std::filesystem::exists(host.dir / "other"));
}

TEST_CASE("the Unix socket has its owner, group and mode, and one of somebody else is not removed at the end") {
  ApiHost host;
  host.api.unix_socket_user = "daemon";
  host.api.unix_socket_group = "games";
  host.api.unix_socket_mode = 0604;
  host.start();
  struct stat status {};
  {
    const ApiServer server(host.io.get_executor(), *host.engine, host.api);
    REQUIRE(::lstat(host.api_path().c_str(), &status) == 0);
    CHECK((status.st_mode & 07777) == 0604);
    CHECK(status.st_uid == ::getpwnam("daemon")->pw_uid);
    CHECK(status.st_gid == ::getgrnam("games")->gr_gid);
  }
  CHECK_FALSE(std::filesystem::exists(host.api_path()));
  {
    const ApiServer server(host.io.get_executor(), *host.engine, host.api);
    std::filesystem::remove(host.api_path());
    std::ofstream(host.api_path()) << "somebody else's";
  }
  CHECK(std::filesystem::exists(host.api_path()));
}

TEST_CASE("the number of connections of one peer is limited") {
  ApiHost host;
  host.api.max_connections_per_peer = 2;
  host.start_api();
  Wire first(host);
  auto second = std::make_unique<Wire>(host);
  CHECK_THAT(first.ask(R"({"action":"version"})"), StartsWith(R"({"result":"ok")"));
  CHECK_THAT(second->ask(R"({"action":"version"})"), StartsWith(R"({"result":"ok")"));
  Wire third(host);
  CHECK_THAT(error_of(*third.line()), ContainsSubstring("3 connections of user 0 are too many"));
  CHECK_FALSE(third.line());
  second.reset();
  CHECK_THAT(first.ask(R"({"action":"version"})"), StartsWith(R"({"result":"ok")"));
  Wire fourth(host);
  CHECK_THAT(fourth.ask(R"({"action":"version"})"), StartsWith(R"({"result":"ok")"));
}

TEST_CASE("500 clients at once are served") {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  ApiStickHost host;
  host.api.max_connections_per_peer = 500;
  host.start_api();
  std::vector<std::unique_ptr<Wire>> wires;
  for (int i = 0; i < 500; ++i) wires.push_back(std::make_unique<Wire>(host));
  for (const auto& wire : wires) wire->send(std::string(hear) + "\n" + R"({"action":"usb_list"})" + "\n");
  for (const auto& wire : wires) {
    CHECK(*wire->line() == ok);
    CHECK(wire->message().at("usb_devices").size() == 1);
  }
  CHECK(wires[0]->ask(attach).find("usb_attached") != std::string::npos);
  for (std::size_t i = 1; i < wires.size(); ++i) CHECK(wires[i]->event("usb_attached").at("vm") == Json("a"));
}

TEST_CASE("unsupported settings are refused with a clear error") {
  ApiHost host;
  host.start_api();
  Wire wire(host);
  CHECK_THAT(error_of(wire.ask(R"({"action":"reload"})")), ContainsSubstring("no file"));
  CHECK_THAT(error_of(wire.ask(R"({"action":"pci_attach","address":"01:00.0"})")), ContainsSubstring("no such device"));
}
