// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// The device API with devices of umockdev's and QEMUs that do what they are told.
#include "api_host.hpp"
#include "catch.hpp"
#include "client_socket.hpp"
#include "fake_qemu.hpp"
#include "skip.hpp"

#include <hotplug/client.hpp>
#include <qemuctl/error.hpp>

#include <asio/ip/tcp.hpp>
#include <asio/local/stream_protocol.hpp>
#include <asio/readable_pipe.hpp>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <vector>

using namespace hotplug;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
using qemuctl::Json;
using test::ApiHost;
using test::FakeQemu;
using test::Wire;

namespace {

constexpr const char* ok = R"({"result":"ok"})";
constexpr const char* attach = R"({"action":"usb_attach","device_node":"/dev/bus/usb/003/005","vm":"a"})";
constexpr const char* detach = R"({"action":"usb_detach","device_node":"/dev/bus/usb/003/005"})";
constexpr const char* hear = R"({"action":"enable_notifications"})";

void write_tokens(const std::filesystem::path& file) {
  std::ofstream(file) << "ops 0123456789abcdef\n";
  ::chmod(file.c_str(), 0600);
}

/// The error of an answer.
std::string error_of(const std::string& answer) {
  const Json json = qemuctl::parse_json(answer);
  CHECK(json.at("result") == Json("failed"));
  return json.at("error").as_string();
}

/// What is wrong with a server that cannot be.
std::string refusal(ApiHost& host) {
  if (!host.engine) host.start();
  try {
    const ApiServer server(host.io.get_executor(), *host.engine, host.api);
  } catch (const std::exception& error) {
    return error.what();
  }
  return {};
}

ApiPermission permission(ApiLevel level, std::optional<std::vector<std::string>> vms = std::nullopt) {
  ApiPermission result;
  result.may = level;
  result.vms = std::move(vms);
  return result;
}

/// A VM "a" for sticks, one of which is in port 1.
struct StickHost : ApiHost {
  explicit StickHost(FakeQemu::Decide decide = {}) : qemu(socket("a"), std::move(decide)) {
    add_vm("a");
    add_rule("Stick", "a");
    options.attach_connected = false;
    stick = host.plug(root, 3, 1, 5);
  }
  FakeQemu qemu;
  std::string stick;
};

} // namespace

TEST_CASE("requests are answered in their order, however the bytes come") {
  StickHost host;
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

TEST_CASE("what is no request gets an answer, and the connection goes on") {
  StickHost host;
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

TEST_CASE("over TCP a browser that a web page misuses is sent away before its request is read") {
  StickHost host;
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

TEST_CASE("a device is attached and detached by each of its names, as text and as number") {
  StickHost host;
  host.start_api();
  Wire wire(host);
  for (const char* name : {R"("device_node":"/dev/bus/usb/003/005")", R"("bus":"3","port":"1")", R"("bus":3,"port":1)",
                           R"("vid":"046d","pid":"c52b")", R"("port_path":"3-1")"}) {
    CHECK(wire.ask(std::string(R"({"action":"usb_attach","vm":"a",)") + name + "}") == ok);
    CHECK(host.is_in("3-1", "a"));
    CHECK(wire.ask(std::string(R"({"action":"usb_detach",)") + name + "}") == ok);
    CHECK_FALSE(host.state("3-1").vm);
  }
  CHECK_THAT(error_of(wire.ask(R"({"action":"usb_attach","bus":3,"port":9})")), ContainsSubstring("no such device"));
  CHECK_THAT(error_of(wire.ask(R"({"action":"usb_attach","bus":3,"port":1,"vm":"b"})")),
             ContainsSubstring(R"(do not let it into VM "b")"));
  host.host.plug(host.root, 3, 2, 6);
  host.wait_for("3-2", "a");
  CHECK_THAT(error_of(wire.ask(R"({"action":"usb_detach","vid":"046d","pid":"c52b"})")),
             ContainsSubstring("/dev/bus/usb/003/005") && ContainsSubstring("/dev/bus/usb/003/006"));
  const std::vector<std::string> audit = host.audit();
  CHECK(audit.size() == 13);
  CHECK(audit.at(0) == "audit: user 0 (process " + std::to_string(::getpid()) +
                           ") on unix: usb_attach {\"vm\":\"a\",\"device_node\":\"/dev/bus/usb/003/005\"}: done");
}

TEST_CASE("lists have what was taken out or the others, and devices with a tag are moved together") {
  StickHost host;
  host.config.usb_rules[0].tag = "sticks";
  host.host.plug(host.root, 3, 2, 6, "Stick 2");
  host.host.plug(host.root, 3, 3, 7, "Keyboard");
  host.start_api();
  Wire wire(host);
  const auto listed = [&](const std::string& more) {
    const Json answer = qemuctl::parse_json(wire.ask(R"({"action":"usb_list")" + more + "}"));
    std::string ports;
    for (const Json& device : answer.at("usb_devices").as_array()) ports += device.at("port_path").as_string() + " ";
    return ports;
  };
  CHECK(listed("") == "3-1 3-2 3-3 ");
  CHECK(listed(R"(,"tag":"sticks","disconnected":null)") == "3-1 3-2 ");
  CHECK(wire.ask(R"({"action":"usb_attach","tag":"sticks"})") == ok);
  CHECK(host.is_in("3-1", "a"));
  CHECK(host.is_in("3-2", "a"));
  CHECK(wire.ask(R"({"action":"usb_detach","bus":3,"port":2})") == ok);
  CHECK(listed(R"(,"disconnected":true)") == "3-2 ");
  CHECK(listed(R"(,"disconnected":false)") == "3-1 3-3 ");
  CHECK(wire.ask(R"({"action":"usb_detach","tag":"sticks"})") == ok);
  CHECK(host.qemu.devices().empty());
  CHECK_THAT(error_of(wire.ask(R"({"action":"usb_attach","tag":"none"})")), ContainsSubstring("with that tag"));
}

TEST_CASE("a device with a tag that cannot be moved keeps none of the others, and each is written down") {
  StickHost host([](const FakeQemu::Command& command) {
    const Json* address = command.arguments.find("hostaddr");
    return command.name == "device_add" && address && *address == Json(5) ? FakeQemu::Fate::refused
                                                                          : FakeQemu::Fate::done;
  });
  host.config.usb_rules[0].tag = "sticks";
  host.host.plug(host.root, 3, 2, 6, "Stick 2");
  host.start_api();
  Wire wire(host);
  CHECK_THAT(error_of(wire.ask(R"({"action":"usb_attach","tag":"sticks","vid":"046d","pid":"c52b"})")),
             ContainsSubstring("/dev/bus/usb/003/005"));
  CHECK(host.is_in("3-2", "a"));
  const std::vector<std::string> audit = host.audit();
  REQUIRE(audit.size() == 3);
  CHECK_THAT(audit[0], ContainsSubstring("usb_attach 3-1") && ContainsSubstring("QEMU refused"));
  CHECK_THAT(audit[1], ContainsSubstring("usb_attach 3-2") && ContainsSubstring(": done"));
  // A node is one device's alone, whatever its tag.
  CHECK(wire.ask(R"({"action":"usb_detach","tag":"sticks","device_node":"/dev/bus/usb/003/007"})").find("no such") !=
        std::string::npos);
  CHECK(host.is_in("3-2", "a"));
}

TEST_CASE("rights that are taken away while a request waits are missed by the rest of it") {
  std::promise<void> go_on;
  StickHost host([&, wait = go_on.get_future().share()](const FakeQemu::Command& command) {
    if (command.name == "device_add") wait.wait_for(std::chrono::seconds(10));
    return FakeQemu::Fate::done;
  });
  host.config.usb_rules[0].tag = "sticks";
  host.host.plug(host.root, 3, 2, 6, "Stick 2");
  host.api.permissions = std::vector<ApiPermission>(1, permission(ApiLevel::attach));
  host.start_api();
  Wire wire(host);
  wire.send(R"({"action":"usb_attach","tag":"sticks"})"
            "\n");
  host.wait_until("QEMU is asked", [&] { return host.qemu.count("device_add") == 1; });
  host.api.permissions->front().may = ApiLevel::read;
  host.server->reload(host.api);
  go_on.set_value();
  CHECK_THAT(error_of(wire.line().value()), ContainsSubstring(R"(the level "attach")"));
  CHECK(host.is_in("3-1", "a"));
  CHECK_FALSE(host.state("3-2").vm);
}

TEST_CASE("a device for several VMs goes where it was last, or to the first, when no VM is named") {
  ApiHost host;
  FakeQemu a(host.socket("a")), b(host.socket("b"));
  host.add_vm("a");
  host.add_vm("b");
  host.add_rule("Stick", "a").vms.push_back("b");
  host.options.attach_connected = false;
  host.host.plug(host.root, 3, 1, 5);
  ApiPermission of_b = permission(ApiLevel::attach, std::vector<std::string>(1, "b"));
  of_b.transport = "tcp";
  host.api.permissions = std::vector<ApiPermission>(2, permission(ApiLevel::attach));
  host.api.permissions->front().transport = "unix";
  host.api.permissions->back() = of_b;
  host.api.transports.push_back("tcp");
  host.start_api();
  Wire wire(host);
  constexpr const char* anywhere = R"({"action":"usb_attach","port_path":"3-1","vm":null})";
  CHECK(wire.ask(anywhere) == ok);
  CHECK(host.is_in("3-1", "a"));
  CHECK(wire.ask(R"({"action":"usb_attach","port_path":"3-1","vm":"b"})") == ok);
  CHECK(wire.ask(anywhere) == ok); // it stays
  CHECK(host.is_in("3-1", "b"));
  CHECK(wire.ask(detach) == ok);
  CHECK(wire.ask(anywhere) == ok); // back
  CHECK(host.is_in("3-1", "b"));
  // The first of those that the client may use.
  host.host.plug(host.root, 3, 2, 6);
  host.wait_until("it is there", [&] { return host.is_there("3-2"); });
  Wire guest(host, host.server->tcp_port());
  CHECK(guest.ask(R"({"action":"usb_attach","port_path":"3-2"})") == ok);
  CHECK(host.is_in("3-2", "b"));
}

TEST_CASE("who may use one VM neither takes nor bars a device that is meant for another one, wherever it is now") {
  ApiHost host;
  FakeQemu a(host.socket("a")), b(host.socket("other"));
  for (const char* vm : {"other", "off", "a"}) host.add_vm(vm);
  host.add_rule("Stick", "off").vms.push_back("a");
  host.add_rule("Mouse", "other").vms.push_back("a");
  host.host.plug(host.root, 3, 1, 5);
  host.host.plug(host.root, 3, 2, 6, "Mouse");
  host.api.permissions = std::vector<ApiPermission>(2, permission(ApiLevel::admin));
  host.api.permissions->front().transport = "unix";
  host.api.permissions->back() = permission(ApiLevel::attach, std::vector<std::string>(1, "a"));
  host.api.permissions->back().transport = "tcp";
  host.api.transports.push_back("tcp");
  host.start_api();
  host.wait_for("3-2", "other");
  Wire service(host), guest(host, host.server->tcp_port());
  const auto refused = [&](const std::string& action, const std::string& port) {
    const std::string more = action == "usb_attach" ? R"(,"vm":"a"})" : "}";
    CHECK_THAT(error_of(guest.ask(R"({"action":")" + action + R"(","port_path":")" + port + '"' + more)),
               ContainsSubstring("this concerns a VM that you may not see"));
  };
  REQUIRE(host.state("3-1").target == "off"); // where it cannot go now
  refused("usb_attach", "3-1");
  refused("usb_detach", "3-1");
  refused("usb_attach", "3-2");
  refused("usb_detach", "3-2");
  CHECK(service.ask(R"({"action":"usb_suspend","vm":"other"})") == ok);
  REQUIRE_FALSE(host.state("3-2").target);
  refused("usb_attach", "3-2");
  refused("usb_detach", "3-2");
  CHECK(service.ask(R"({"action":"usb_resume","vm":"other"})") == ok);
  CHECK(host.is_in("3-2", "other"));
}

TEST_CASE("who may use one VM is never told the name of another one") {
  ApiHost host;
  std::atomic<bool> refusing = false;
  FakeQemu a(host.socket("a"), [&](const FakeQemu::Command& command) {
    return refusing && command.name == "device_add" ? FakeQemu::Fate::refused : FakeQemu::Fate::done;
  });
  FakeQemu b(host.socket("hidden"));
  host.add_vm("a");
  host.add_vm("hidden");
  host.add_rule("Stick", "a").vms.push_back("hidden");
  host.add_rule("Mouse", "hidden");
  host.api.permissions = std::vector<ApiPermission>(2, permission(ApiLevel::admin));
  host.api.permissions->front().transport = "unix";
  host.api.permissions->back() = permission(ApiLevel::attach, std::vector<std::string>(1, "a"));
  host.api.permissions->back().transport = "tcp";
  host.api.transports.push_back("tcp");
  host.start_api();
  Wire service(host), guest(host, host.server->tcp_port());
  std::string told;
  const auto ask = [&](const std::string& request) {
    guest.send(request + "\n");
    std::string line;
    do {
      line = guest.line().value();
      told += line + "\n";
    } while (line.starts_with(R"({"event")"));
    return line;
  };
  const auto have = [&](const std::string& request) { CHECK(service.ask(request) == ok); };
  CHECK(ask(hear) == ok);
  host.host.plug(host.root, 3, 1, 5);
  host.host.plug(host.root, 3, 2, 6, "Mouse");
  host.wait_for("3-2", "hidden");
  have(R"({"action":"usb_attach","port_path":"3-1","vm":"hidden"})");
  const auto try_all = [&] {
    for (const char* action : {"usb_list", "device_list", "vm_list", "pci_list", "evdev_list"})
      ask(std::string(R"({"action":")") + action + "\"}");
    for (const char* action : {"usb_attach", "usb_detach", "explain"})
      for (const char* vm : {"null", "\"a\""})
        for (const char* port : {"3-1", "3-2"})
          ask(std::string(R"({"action":")") + action + R"(","port_path":")" + port + R"(","vm":)" + vm + "}");
    ask(R"({"action":"usb_detach","vid":"046d","pid":"c52b"})");
    ask(R"({"action":"usb_suspend"})");
  };
  try_all();
  have(R"({"action":"usb_suspend"})");
  try_all();
  have(R"({"action":"usb_resume"})");
  have(R"({"action":"usb_detach","port_path":"3-1"})");
  CHECK(ask(R"({"action":"usb_attach","port_path":"3-1"})") == ok);
  have(R"({"action":"usb_attach","port_path":"3-1","vm":"hidden"})");
  have(R"({"action":"usb_detach","port_path":"3-1"})");
  refusing = true;
  CHECK_THAT(error_of(ask(R"({"action":"usb_attach","port_path":"3-1","vm":"a"})")), ContainsSubstring("QEMU refused"));
  host.host.pull("/devices/pci0000:00/0000:00:14.0/usb3/3-1");
  host.wait_until("it is gone", [&] { return !host.is_there("3-1"); });
  ask(R"({"action":"version"})");
  CHECK_THAT(told, ContainsSubstring("it is in a VM that you may not see"));
  CHECK_THAT(told, ContainsSubstring("usb_disconnected"));
  CHECK(told.find("hidden") == std::string::npos);
}

TEST_CASE("those who want to hear what happens to a device and its VM, in its order") {
  StickHost host;
  host.start_api();
  Wire wire(host), deaf(host);
  CHECK(wire.ask(hear) == ok);
  const std::string path = host.host.plug(host.root, 3, 2, 6);
  CHECK(wire.message().at("event") == Json("usb_connected"));
  const Json attached = wire.message();
  CHECK(attached.at("event") == Json("usb_attached"));
  CHECK(attached.at("vm") == Json("a"));
  CHECK(attached.at("usb_device").at("device_node") == Json("/dev/bus/usb/003/006"));
  host.host.pull(path);
  CHECK(wire.message().at("event") == Json("usb_detached"));
  CHECK(wire.message().at("event") == Json("usb_disconnected"));
  host.server->announce_reload();
  CHECK(*wire.line() == R"({"event":"config_reloaded"})");
  CHECK_FALSE(deaf.has_line());
}

TEST_CASE("a device that is for several VMs waits for a choice, and goes to the first when nobody chooses in time") {
  ApiHost host;
  FakeQemu a(host.socket("a")), b(host.socket("b"));
  host.add_vm("a");
  host.add_vm("b");
  host.add_rule("Stick", "a").vms.push_back("b");
  host.config.general.select_timeout = 1;
  host.start_api();
  Wire wire(host);
  CHECK(wire.ask(hear) == ok);
  host.host.plug(host.root, 3, 1, 5);
  const Json question = wire.event("usb_select_vm");
  CHECK(question.at("allowed_vms").dump() == R"(["a","b"])");
  CHECK(question.at("usb_device").at("select") == Json(true));
  const auto asked = std::chrono::steady_clock::now();
  CHECK(wire.event("usb_attached").at("vm") == Json("a"));
  CHECK(std::chrono::steady_clock::now() - asked > std::chrono::milliseconds(500));
  // The second time somebody answers.
  host.host.plug(host.root, 3, 2, 6);
  wire.event("usb_select_vm");
  wire.send(R"({"action":"usb_attach","device_node":"/dev/bus/usb/003/006","vm":"b"})"
            "\n");
  CHECK(wire.event("usb_attached").at("vm") == Json("b"));
}

TEST_CASE("a slow attach delays nobody else, and goes on when its client is gone") {
  std::promise<void> go_on;
  StickHost host([&, wait = go_on.get_future().share()](const FakeQemu::Command& command) {
    if (command.name == "device_add") wait.wait_for(std::chrono::seconds(10));
    return FakeQemu::Fate::done;
  });
  host.start_api();
  Wire other(host);
  {
    Wire slow(host);
    slow.send(std::string(attach) + "\n");
    for (int i = 0; i < 20; ++i) CHECK_THAT(other.ask(R"({"action":"usb_list"})"), StartsWith(R"({"result":"ok")"));
    CHECK_FALSE(slow.has_line());
  }
  go_on.set_value();
  host.wait_for("3-1", "a");
  host.wait_until("it is written down", [&] { return host.audit().size() == 1; });
  CHECK_THAT(host.audit().at(0), ContainsSubstring("done"));
}

TEST_CASE("a client that does not read what it is told is dropped, and the others hear everything") {
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

TEST_CASE("a client that is reading a large answer is told what happens meanwhile") {
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

TEST_CASE("two devices behind a hub are told apart by their port paths, not by the port of the hub") {
  StickHost host;
  host.host.pull("/devices/pci0000:00/0000:00:14.0/usb3/3-1");
  const std::string hub = host.host.plug(host.root, 3, 2, 20, "Hub", "09");
  host.host.plug(hub, 3, 1, 21);
  host.host.plug(hub, 3, 4, 24);
  host.start_api();
  Wire wire(host);
  CHECK_THAT(error_of(wire.ask(R"({"action":"usb_attach","bus":"3","port":"2"})")),
             ContainsSubstring("several devices match") && ContainsSubstring("3-2.1 046d:c52b") &&
                 ContainsSubstring("3-2.4 046d:c52b"));
  CHECK(wire.ask(R"({"action":"usb_attach","port_path":"3-2.4"})") == ok);
  CHECK(host.is_in("3-2.4", "a"));
  CHECK_FALSE(host.state("3-2.1").vm);
}

TEST_CASE("TCP clients have to show a token first when there are tokens") {
  StickHost host;
  write_tokens(host.dir / "tokens");
  host.api.transports.push_back("tcp");
  host.api.token_file = (host.dir / "tokens").string();
  host.start_api();
  Wire wire(host, host.server->tcp_port());
  CHECK_THAT(wire.ask(R"({"action":"version"})"), StartsWith(R"({"result":"ok")"));
  CHECK_THAT(error_of(wire.ask(R"({"action":"usb_list"})")), ContainsSubstring("have not shown a token"));
  CHECK_THAT(error_of(wire.ask(R"({"action":"auth","token":"0123456789abcdee"})")), ContainsSubstring("none of the"));
  CHECK_THAT(error_of(wire.ask(attach)), ContainsSubstring("have not shown a token"));
  CHECK(wire.ask(R"({"action":"auth","token":"0123456789abcdef"})") == ok);
  CHECK(wire.ask(attach) == ok);
  const std::vector<std::string> audit = host.audit();
  REQUIRE(audit.size() == 4);
  CHECK_THAT(audit[0], ContainsSubstring("auth {}: ") && !ContainsSubstring("0123"));
  CHECK_THAT(audit[1], ContainsSubstring("usb_attach") && ContainsSubstring("have not shown"));
  CHECK(audit[2] == "audit: 127.0.0.1 on tcp with token ops: authenticated");
  CHECK_THAT(audit[3], StartsWith("audit: 127.0.0.1 on tcp with token ops: usb_attach") && ContainsSubstring("done"));
  // On the Unix socket nobody has to.
  Wire local(host);
  CHECK(local.ask(detach) == ok);
}

TEST_CASE("who shows no token in time is sent away") {
  StickHost host;
  host.api.transports = std::vector<std::string>(1, "tcp");
  write_tokens(host.dir / "tokens");
  host.api.token_file = (host.dir / "tokens").string();
  host.api_options.time_to_authenticate = std::chrono::milliseconds(200);
  host.start_api();
  Wire knows(host, host.server->tcp_port());
  CHECK(knows.ask(R"({"action":"auth","token":"0123456789abcdef"})") == ok);
  Wire silent(host, host.server->tcp_port());
  CHECK_THAT(error_of(silent.line().value()), ContainsSubstring("no token was shown in time"));
  CHECK_FALSE(silent.line());
  CHECK_THAT(knows.ask(R"({"action":"usb_list"})"), StartsWith(R"({"result":"ok")"));
}

TEST_CASE("a line with a hundred thousand members is refused while others are served") {
  StickHost host;
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

TEST_CASE("a failure that is no refusal is answered and written down, and the connection goes on") {
  StickHost host;
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

TEST_CASE("other permissions count from the next request on, and who may not connect any more is sent away") {
  StickHost host;
  write_tokens(host.dir / "tokens");
  host.api.token_file = (host.dir / "tokens").string();
  host.api.transports.push_back("tcp");
  ApiPermission of_user = permission(ApiLevel::admin), of_token = permission(ApiLevel::read);
  of_user.uid = ::getuid();
  of_token.token = "ops";
  host.api.permissions = std::vector<ApiPermission>(2, of_user);
  host.api.permissions->back() = of_token;
  ApiConfig fresh = host.api;
  host.api_options.reload = [&] {
    host.server->reload(fresh);
    host.server->announce_reload();
  };
  host.start_api();
  Wire wire(host), remote(host, host.server->tcp_port());
  CHECK(remote.ask(R"({"action":"auth","token":"0123456789abcdef"})") == ok);
  CHECK(wire.ask(attach) == ok);
  CHECK_THAT(error_of(remote.ask(detach)), ContainsSubstring(R"(the level "attach")"));

  fresh.permissions->front().may = ApiLevel::read;
  fresh.permissions->back().may = ApiLevel::attach;
  fresh.port = 2001;
  fresh.unix_socket_group = "users";
  Wire asking(host);
  CHECK(asking.ask(hear) == ok);
  CHECK(asking.ask(R"({"action":"reload"})") == ok);
  CHECK(*asking.line() == R"({"event":"config_reloaded"})"); // after the answer
  CHECK(host.logged("general.api.port, general.api.unixSocketGroup: take effect when the service is started again"));
  CHECK_THAT(error_of(wire.ask(detach)), ContainsSubstring(R"(the level "attach")"));
  CHECK_THAT(error_of(wire.ask(R"({"action":"reload"})")), ContainsSubstring(R"(the level "admin")"));
  CHECK(remote.ask(detach) == ok);

  SECTION("with another token") {
    CHECK(wire.ask(R"({"action":"auth","token":"0123456789abcdef"})") == ok);
    CHECK(wire.ask(detach) == ok);
    std::ofstream(host.dir / "tokens") << "ops fedcba9876543210\n";
    host.server->reload(fresh);
    CHECK_THAT(error_of(remote.line().value()), ContainsSubstring("its token is not valid any more"));
    CHECK_FALSE(remote.line());
    CHECK(host.audit().back() == "audit: 127.0.0.1 on tcp with token ops: sent away: its token is not valid any more");
    CHECK_THAT(error_of(wire.ask(detach)), ContainsSubstring(R"(the level "attach")"));
  }
  SECTION("with a file that cannot be") {
    std::ofstream(host.dir / "tokens") << "ops\n";
    fresh.permissions->back().may = ApiLevel::none;
    CHECK_THROWS_WITH(host.server->reload(fresh), ContainsSubstring("NAME TOKEN"));
    CHECK_THAT(remote.ask(attach), StartsWith(R"({"result":"ok")"));
  }
  SECTION("with tokens where there were none") {
    fresh.token_file.clear();
    host.server->reload(fresh);
    CHECK_FALSE(error_of(remote.line().value()).empty());
    Wire open(host, host.server->tcp_port());
    CHECK_THAT(error_of(open.ask(R"({"action":"usb_list"})")), ContainsSubstring("usb_list"));
    fresh.token_file = host.api.token_file;
    host.server->reload(fresh);
    CHECK_THAT(error_of(open.line().value()), ContainsSubstring("have to show a token now"));
  }
}

TEST_CASE("how long a person may choose, and how often a device may come, follow the configuration") {
  ApiHost host;
  FakeQemu a(host.socket("a")), b(host.socket("b"));
  host.add_vm("a");
  host.add_vm("b");
  host.add_rule("Stick", "a").vms.push_back("b");
  host.start_api();
  host.host.plug(host.root, 3, 1, 5);
  host.wait_until("somebody is asked", [&] { return host.is_there("3-1") && host.state("3-1").select; });
  host.config.general.select_timeout = 1;
  host.config.general.max_arrivals_per_minute = 1;
  host.engine->reload(host.config);
  host.wait_for("3-1", "a");
  for (int address : {6, 7}) {
    host.host.pull("/devices/pci0000:00/0000:00:14.0/usb3/3-1");
    host.wait_until("it is gone", [&] { return !host.is_there("3-1"); });
    host.host.plug(host.root, 3, 1, address);
    host.wait_until("it is back", [&] { return host.is_there("3-1"); });
  }
  host.wait_until("it is kept out", [&] { return host.state("3-1").problem == ProblemKind::flapping; });
}

TEST_CASE("who leaves without having shown a token leaves nothing open") {
  StickHost host;
  host.api.transports = std::vector<std::string>(1, "tcp");
  write_tokens(host.dir / "tokens");
  host.api.token_file = (host.dir / "tokens").string();
  host.start_api();
  constexpr const char* version = R"({"action":"version"})";
  Wire stays(host, host.server->tcp_port());
  stays.ask(version);
  const auto open_files = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator());
  };
  const auto before = open_files();
  for (int i = 0; i < 20; ++i) Wire(host, host.server->tcp_port()).ask(version);
  for (int i = 0; i < 100 && open_files() > before; ++i) stays.ask(version); // far less than the time for a token
  CHECK(open_files() == before);
}

TEST_CASE("TCP on this host alone needs no token, and elsewhere it is refused without one") {
  {
    ApiHost host;
    host.api.transports = std::vector<std::string>(1, "tcp");
    host.start_api();
    Wire wire(host, host.server->tcp_port());
    CHECK_THAT(wire.ask(R"({"action":"usb_list"})"), StartsWith(R"({"result":"ok")"));
    CHECK_THAT(error_of(wire.ask(R"({"action":"reload"})")), ContainsSubstring(R"(the level "admin")"));
  }
  {
    StickHost host;
    host.api.transports = std::vector<std::string>(1, "tcp");
    host.api.host = "0.0.0.0";
    write_tokens(host.dir / "tokens");
    host.api.token_file = (host.dir / "tokens").string();
    host.start_api();
    Wire wire(host, host.server->tcp_port());
    CHECK_THAT(error_of(wire.ask(R"({"action":"usb_list"})")), ContainsSubstring("have not shown a token"));
    CHECK(wire.ask(R"({"action":"auth","token":"0123456789abcdef"})") == ok);
    CHECK(wire.ask(attach) == ok);
    // Not without tokens from now on either.
    ApiConfig open = host.api;
    open.token_file.clear();
    CHECK_THROWS_WITH(host.server->reload(open), ContainsSubstring("allowUnauthenticated"));
    CHECK(wire.ask(detach) == ok);
  }
  ApiHost host;
  host.api.transports = std::vector<std::string>(1, "tcp");
  host.api.host = "0.0.0.0";
  CHECK_THAT(refusal(host), ContainsSubstring("tokenFile") && ContainsSubstring("allowUnauthenticated"));
  host.api.host = "example.org";
  CHECK_THAT(refusal(host), ContainsSubstring("no IP address"));
  host.api.transports = std::vector<std::string>(1, "pigeon");
  CHECK_THAT(refusal(host), ContainsSubstring("no such transport"));
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
  CHECK_THROWS_WITH(ApiServer(host.io.get_executor(), *host.engine, host.api), ContainsSubstring("somebody listens"));
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

TEST_CASE("who may only read cannot change anything, and who has some VMs sees only what is for them") {
  StickHost host;
  host.add_vm("b");
  host.add_rule("Mouse", "b");
  host.host.plug(host.root, 3, 2, 6, "Mouse");
  host.api.permissions = std::vector<ApiPermission>(1, permission(ApiLevel::read));
  SECTION("reading") {
    host.start_api();
    Wire wire(host);
    CHECK(wire.ask(hear) == ok);
    CHECK_THAT(error_of(wire.ask(attach)), ContainsSubstring(R"(the level "attach")"));
    CHECK_THAT(error_of(wire.ask(detach)), ContainsSubstring(R"(the level "attach")"));
    CHECK_THAT(error_of(wire.ask(R"({"action":"vm_pause","vm":"a"})")), ContainsSubstring(R"(the level "admin")"));
    CHECK(host.audit().size() == 3);
    CHECK(host.qemu.count("device_add") == 0);
  }
  SECTION("some VMs") {
    host.api.permissions->front() = permission(ApiLevel::attach, std::vector<std::string>(1, "a"));
    host.start_api();
    Wire wire(host);
    CHECK(wire.ask(hear) == ok);
    const Json list = qemuctl::parse_json(wire.ask(R"({"action":"device_list"})"));
    REQUIRE(list.at("devices").size() == 1);
    CHECK(list.at("devices").at(std::size_t{0}).at("product_name") == Json("Stick"));
    CHECK(qemuctl::parse_json(wire.ask(R"({"action":"vm_list"})")).at("vms").size() == 1);
    CHECK_THAT(error_of(wire.ask(R"({"action":"vm_status","vm":"b"})")), ContainsSubstring("there is no VM"));
    CHECK_THAT(error_of(wire.ask(R"({"action":"usb_detach","bus":3,"port":2})")), ContainsSubstring("no such device"));
    CHECK_THAT(error_of(wire.ask(R"({"action":"explain","bus":3,"port":1})")), ContainsSubstring("for all VMs"));
    host.host.pull("/devices/pci0000:00/0000:00:14.0/usb3/3-2"); // not told
    wire.send(std::string(attach) + "\n");
    CHECK(wire.message().at("event") == Json("usb_attached"));
    CHECK(*wire.line() == ok);
  }
  SECTION("nobody") {
    host.api.permissions->clear();
    host.start_api();
    Wire wire(host);
    CHECK_THAT(error_of(wire.ask(R"({"action":"usb_list"})")), ContainsSubstring("may not ask for usb_list"));
    CHECK_THAT(wire.ask(R"({"action":"version"})"), StartsWith(R"({"result":"ok")"));
  }
}

TEST_CASE("each action takes its level, and who may use one VM may do only what concerns that one") {
  StickHost host;
  host.add_vm("b");
  host.add_rule("Mouse", "b");
  host.host.plug(host.root, 3, 2, 6, "Mouse");
  host.host.add_pci("0000:01:00.0", "82574L");
  host.host.add_input(2, 2, "AT keyboard", "platform-i8042-serio-0");
  const std::vector<std::string> roles{"none", "read", "attach", "admin", "one"};
  host.api.permissions.emplace();
  {
    std::ofstream tokens(host.dir / "tokens");
    for (const std::string& role : roles) {
      tokens << role << " 0123456789abcdef-" << role << '\n';
      ApiPermission may = permission(ApiLevel::none);
      for (const ApiLevel level : {ApiLevel::read, ApiLevel::attach, ApiLevel::admin})
        if (to_string(level) == role) may.may = level;
      if (role == "one") may = permission(ApiLevel::attach, std::vector<std::string>(1, "a"));
      may.token = role;
      host.api.permissions->push_back(may);
    }
  }
  ::chmod((host.dir / "tokens").c_str(), 0600);
  host.api.token_file = (host.dir / "tokens").string();
  host.api.transports = std::vector<std::string>(1, "tcp");
  host.api_options.reload = [] {};
  host.start_api();
  std::vector<std::unique_ptr<Wire>> wires;
  for (const std::string& role : roles) {
    wires.push_back(std::make_unique<Wire>(host, host.server->tcp_port()));
    CHECK(wires.back()->ask(R"({"action":"auth","token":"0123456789abcdef-)" + role + "\"}") == ok);
  }
  // Who is not refused for want of a permission, in the order of the roles. For who may use one VM, what does not
  // concern it is not there.
  const auto permitted = [&](const std::string& request) {
    std::string who;
    for (const auto& wire : wires) {
      const std::string answer = wire->ask("{" + request + "}");
      bool refused = false;
      for (const char* word : {"you may not", "there is no VM", "no such device", "none of your VMs"})
        refused = refused || answer.find(word) != answer.npos;
      who += refused ? '-' : 'x';
    }
    return who;
  };
  const std::string stick = R"("port_path":"3-1")", mouse = R"("port_path":"3-2")", of_a = R"("vm":"a")",
                    of_b = R"("vm":"b")", card = R"("address":"01:00.0")", keyboard = R"("name":"AT keyboard")";
  const auto action = [](const std::string& name) { return R"("action":")" + name + '"'; };
  CHECK(permitted(action("version")) == "xxxxx");
  for (const char* list : {"usb_list", "pci_list", "evdev_list", "device_list", "vm_list"})
    CHECK(permitted(action(list)) == "-xxxx");
  CHECK(permitted(action("usb_attach") + "," + stick) == "--xxx");
  CHECK(permitted(action("usb_attach") + "," + stick + "," + of_a) == "--xxx");
  CHECK(permitted(action("usb_detach") + "," + stick) == "--xxx");
  CHECK(permitted(action("usb_attach") + "," + mouse) == "--xx-");
  CHECK(permitted(action("usb_detach") + "," + mouse) == "--xx-");
  for (const auto& [kind, device] : {std::pair("pci_", card), std::pair("evdev_", keyboard)}) {
    CHECK(permitted(action(std::string(kind) + "attach") + "," + device) == "--xx-");
    CHECK(permitted(action(std::string(kind) + "detach") + "," + device) == "--xx-");
  }
  for (const char* kind : {"usb_", "pci_", "evdev_"})
    for (const char* what : {"suspend", "resume"}) {
      CHECK(permitted(action(std::string(kind) + what)) == "--xx-");
      CHECK(permitted(action(std::string(kind) + what) + "," + of_a) == "--xxx");
      CHECK(permitted(action(std::string(kind) + what) + "," + of_b) == "--xx-");
    }
  CHECK(permitted(action("explain") + "," + stick) == "-xxx-");
  CHECK(permitted(action("vm_status") + "," + of_a) == "-xxxx");
  CHECK(permitted(action("vm_status") + "," + of_b) == "-xxx-");
  CHECK(permitted(action("vmm_args") + "," + of_a) == "--xxx");
  CHECK(permitted(action("vmm_args") + "," + of_b) == "--xx-");
  for (const char* change :
       {"vm_start", "vm_stop", "vm_shutdown", "vm_pause", "vm_resume", "vm_reset", "vm_screenshot"}) {
    CHECK(permitted(action(change) + "," + of_b) == "---x-");
    if (std::string(change) != "vm_stop") CHECK(permitted(action(change) + "," + of_a) == "---x-");
  }
  CHECK(permitted(action("vm_send_key") + R"(,"keys":["ret"],)" + of_a) == "---x-");
  CHECK(permitted(action("reload")) == "---x-");
  CHECK(permitted(action("enable_notifications")) == "-xxxx");
}

TEST_CASE("a process of another user has the rights of each of its groups") {
  if (::geteuid() != 0) test::skip("only root can become another user");
  StickHost host;
  ::chmod(host.dir.path().c_str(), 0711);
  constexpr unsigned user = 54'321, group = 54'322, other_group = 54'323;
  host.api.unix_socket_mode = 0666;
  host.api.permissions = std::vector<ApiPermission>(1, permission(ApiLevel::attach));
  host.api.permissions->front().gid = group;
  host.start_api();
  const auto answer = [&](unsigned supplementary) {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    const std::string path = host.api_path().string(), request = std::string(attach) + "\n";
    const pid_t child = ::fork();
    if (child == 0) { // there are other threads: system calls only
      const gid_t groups = supplementary;
      sockaddr_un address{};
      address.sun_family = AF_UNIX;
      std::memcpy(address.sun_path, path.c_str(), path.size());
      const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
      char bytes[1'000];
      if (::syscall(SYS_setgroups, 1, &groups) != 0 || ::syscall(SYS_setgid, user) != 0 ||
          ::syscall(SYS_setuid, user) != 0 ||
          ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
          ::send(fd, request.data(), request.size(), 0) < 0)
        ::_exit(1);
      const ssize_t size = ::recv(fd, bytes, sizeof bytes, 0);
      ::_exit(size > 0 && ::write(ends[1], bytes, static_cast<std::size_t>(size)) == size ? 0 : 2);
    }
    ::close(ends[1]);
    asio::readable_pipe pipe(host.io, ends[0]);
    std::string text(1'000, ' ');
    bool done = false;
    pipe.async_read_some(asio::buffer(text), [&](std::error_code, std::size_t size) {
      text.resize(size);
      done = true;
    });
    host.wait_until("the other process has its answer", [&] { return done; });
    int status = -1;
    CHECK(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    return text;
  };
  CHECK_THAT(answer(other_group), ContainsSubstring("you may not ask for usb_attach"));
  CHECK(answer(group) == std::string(ok) + "\n");
  CHECK(host.is_in("3-1", "a"));
  CHECK_THAT(host.audit().back(),
             StartsWith("audit: user 54321 (process ") && ContainsSubstring("on unix: usb_attach"));
}

TEST_CASE("one peer has no more connections than it may") {
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
  StickHost host;
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

TEST_CASE("ten clients that attach and detach the same device leave it where the last one wanted it") {
  StickHost host;
  host.start_api();
  std::vector<std::unique_ptr<Wire>> wires;
  for (int i = 0; i < 10; ++i) wires.push_back(std::make_unique<Wire>(host));
  for (int round = 0; round < 5; ++round)
    for (std::size_t i = 0; i < wires.size(); ++i) wires[i]->send(std::string(i % 2 == 0 ? attach : detach) + "\n");
  int done = 0;
  for (int round = 0; round < 5; ++round)
    for (const auto& wire : wires) {
      const Json answer = wire->message();
      if (answer.at("result") == Json("ok"))
        ++done;
      else
        CHECK_THAT(answer.at("error").as_string(), ContainsSubstring("another request came meanwhile"));
    }
  CHECK(done > 0);
  CHECK(wires[0]->ask(attach) == ok);
  CHECK(host.is_in("3-1", "a"));
  CHECK(host.qemu.devices().size() == 1);
  CHECK(wires[1]->ask(detach) == ok);
  CHECK(host.qemu.devices().empty());
}

TEST_CASE("VMs are seen and controlled, and their monitors given back") {
  StickHost host;
  host.config.vms[0].monitor = "yield";
  host.add_vm("off");
  host.start_api();
  Wire wire(host);
  const Json status = qemuctl::parse_json(wire.ask(R"({"action":"vm_status","vm":"a"})"));
  CHECK(status.at("vm").at("state") == Json("running"));
  for (const char* action : {"vm_pause", "vm_resume", "vm_shutdown", "vm_reset"})
    CHECK(wire.ask(std::string(R"({"action":")") + action + R"(","vm":"a"})") == ok);
  CHECK(wire.ask(R"({"action":"vm_send_key","vm":"a","keys":["ctrl","alt","delete"]})") == ok);
  CHECK(host.qemu.count("stop") == 1);
  CHECK(host.qemu.count("system_powerdown") == 1);
  CHECK(host.qemu.count("send-key") == 1);
  const Json screen = qemuctl::parse_json(wire.ask(R"({"action":"vm_screenshot","vm":"a"})"));
  CHECK(screen.at("format") == Json("png"));
  CHECK_THAT(screen.at("image").as_string(), StartsWith("iVBORw0KGgo")); // the beginning of every PNG
  host.wait_until("the monitor is given back", [&] { return host.engine->vms().at(0).link == LinkState::yielded; });
  CHECK(qemuctl::parse_json(wire.ask(R"({"action":"vm_status","vm":"off"})")).at("vm").at("state") == Json("shutdown"));
  CHECK_THAT(error_of(wire.ask(R"({"action":"vm_pause","vm":"off"})")), ContainsSubstring("does not run"));
  CHECK_THAT(error_of(wire.ask(R"({"action":"vm_start","vm":"off"})")), ContainsSubstring("\"config\""));
  CHECK_THAT(error_of(wire.ask(R"({"action":"vm_start","vm":"a"})")), ContainsSubstring("runs already"));
  CHECK_THAT(error_of(wire.ask(R"({"action":"vm_pause","vm":"none"})")), ContainsSubstring("there is no VM"));
}

TEST_CASE("devices are suspended and come back to where they were, but for those that are to stay") {
  StickHost host;
  host.config.usb_rules[0].deny.emplace_back().product_name = "Stick that stays";
  host.add_rule("Stick that stays", "a").skip_on_suspend = true;
  host.start_api();
  host.host.plug(host.root, 3, 2, 6, "Stick that stays");
  host.host.plug(host.root, 3, 3, 7);
  host.wait_for("3-2", "a");
  host.wait_for("3-3", "a");
  Wire wire(host);
  CHECK_THAT(error_of(wire.ask(R"({"action":"usb_suspend","vm":"b"})")), ContainsSubstring("there is no VM"));
  CHECK(wire.ask(R"({"action":"usb_suspend","vm":"a"})") == ok);
  CHECK(host.is_in("3-2", "a"));
  CHECK_FALSE(host.state("3-3").vm);
  CHECK(host.state("3-3").suspended);
  CHECK_FALSE(host.state("3-1").suspended); // it was in no VM
  CHECK(wire.ask(R"({"action":"usb_resume","vm":"a"})") == ok);
  CHECK(host.is_in("3-3", "a"));
  CHECK_FALSE(host.state("3-3").suspended);
  // A person may have one back before.
  CHECK(wire.ask(R"({"action":"usb_suspend"})") == ok);
  CHECK(wire.ask(R"({"action":"usb_attach","port_path":"3-3"})") == ok);
  CHECK(wire.ask(R"({"action":"usb_resume"})") == ok);
  CHECK(host.qemu.devices().size() == 2);
  CHECK(wire.ask(R"({"action":"pci_suspend"})") == ok); // there are none
}

TEST_CASE("what this service does not do is refused clearly") {
  ApiHost host;
  host.start_api();
  Wire wire(host);
  CHECK_THAT(error_of(wire.ask(R"({"action":"reload"})")), ContainsSubstring("no file"));
  CHECK_THAT(error_of(wire.ask(R"({"action":"pci_attach","address":"01:00.0"})")), ContainsSubstring("no such device"));
}

TEST_CASE("the client of the library makes requests at once, and hears events") {
  StickHost host;
  host.start_api();
  test::run(host.io, [&]() -> asio::awaitable<void> {
    ApiAddress address = ApiUnixAddress(host.api_path().string());
    ApiClient client = co_await ApiClient::connect(address);
    const Json enable = qemuctl::parse_json(hear);
    co_await client.request(enable);
    const Json request = qemuctl::parse_json(attach);
    co_await client.request(request);
    const std::optional<ApiEvent> event = co_await client.next_event();
    CHECK(event->message.at("event") == Json("usb_attached"));
    const Json wrong = qemuctl::parse_json(R"({"action":"nothing"})");
    std::string refused;
    try {
      co_await client.request(wrong);
    } catch (const qemuctl::Error& error) {
      CHECK(error.code() == qemuctl::errc::command_failed);
      refused = error.diagnostics().server_text;
    }
    CHECK_THAT(refused, ContainsSubstring("unknown action"));
  });
}

TEST_CASE("the client of the library tries all addresses of a name") {
  ApiHost host;
  host.api.transports.push_back("tcp");
  host.start_api();
  using asio::generic::stream_protocol;
  const auto endpoint = [](const char* address, int port) {
    return stream_protocol::endpoint(
        asio::ip::tcp::endpoint(asio::ip::make_address(address), static_cast<unsigned short>(port)));
  };
  test::run(host.io, [&]() -> asio::awaitable<void> {
    std::vector<stream_protocol::endpoint> addresses;
    addresses.push_back(endpoint("127.77.0.1", host.server->tcp_port())); // nobody listens there
    addresses.push_back(endpoint("127.0.0.1", host.server->tcp_port()));
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    const auto socket = co_await detail::connect_first(addresses, "name", deadline);
    CHECK(socket.is_open());
    addresses.pop_back();
    std::string refused;
    try {
      co_await detail::connect_first(addresses, "name", deadline);
    } catch (const qemuctl::Error& error) {
      refused = error.what();
    }
    CHECK_THAT(refused, ContainsSubstring("(name): nobody listens there"));
    const ApiClient client =
        co_await ApiClient::connect(ApiTcpAddress("localhost", static_cast<std::uint16_t>(host.server->tcp_port())));
    CHECK(to_string(client.address()).starts_with("localhost:"));
  });
}

TEST_CASE("the client of the library goes on after a request that it has given up") {
  std::promise<void> go_on;
  StickHost host([&, wait = go_on.get_future().share()](const FakeQemu::Command& command) {
    if (command.name == "device_add") wait.wait_for(std::chrono::seconds(10));
    return FakeQemu::Fate::done;
  });
  host.start_api();
  test::run(host.io, [&]() -> asio::awaitable<void> {
    ApiAddress address = ApiUnixAddress(host.api_path().string());
    ApiClient client = co_await ApiClient::connect(address);
    const Json request = qemuctl::parse_json(attach), version = qemuctl::parse_json(R"({"action":"version"})");
    std::error_code code;
    try {
      co_await client.request(request, std::chrono::milliseconds(50));
    } catch (const qemuctl::Error& error) {
      code = error.code();
    }
    CHECK(code == qemuctl::errc::interrupted); // it was sent
    go_on.set_value();
    const Json answer = co_await client.request(version);
    CHECK(answer.at("version") == Json("1.2.3"));
  });
}

TEST_CASE("the client of the library looks for a service, and says where it has looked") {
  ApiHost host;
  host.start_api();
  test::run(host.io, [&]() -> asio::awaitable<void> {
    std::vector<ApiAddress> addresses;
    addresses.push_back(ApiUnixAddress((host.dir / "none").string()));
    addresses.push_back(ApiUnixAddress(host.api_path().string()));
    ApiClient client = co_await ApiClient::connect_any(addresses);
    CHECK(client.address() == addresses[1]);
    addresses.pop_back();
    std::string refused;
    try {
      co_await ApiClient::connect_any(addresses);
    } catch (const qemuctl::Error& error) {
      CHECK(error.code() == qemuctl::errc::connect_failed);
      refused = error.what();
    }
    CHECK_THAT(refused, ContainsSubstring("none: there is no such socket"));
  });
}
