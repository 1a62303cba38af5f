// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// Devices and VMs by the device API.
#include "api_cases.hpp"
#include "catch.hpp"
#include "fake_qemu.hpp"
#include "skip.hpp"

#include <unistd.h>

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <vector>

using namespace hotplug;
using namespace test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
using qemuctl::Json;

TEST_CASE("a device is attached and detached by each of its identifiers, given as strings or numbers") {
  ApiStickHost host;
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

TEST_CASE("lists are filtered by detached devices and by tag, and devices with a tag are moved together") {
  ApiStickHost host;
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

TEST_CASE("a device that cannot be moved does not keep others with its tag from moving, and each is logged") {
  ApiStickHost host([](const FakeQemu::Command& command) {
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

TEST_CASE("without a VM in the request, a device goes to the VM that it was in last, or to the first") {
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

TEST_CASE("events about a device and its VM are sent in order to those who enabled them") {
  ApiStickHost host;
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

TEST_CASE("a device that is allowed in several VMs waits for a choice, and goes to the first after the timeout") {
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

TEST_CASE("a slow attach delays no other client, and continues when its own client disconnects") {
  std::promise<void> go_on;
  ApiStickHost host([&, wait = go_on.get_future().share()](const FakeQemu::Command& command) {
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

TEST_CASE("two devices behind a hub are told apart by their port paths, not by the port of the hub") {
  ApiStickHost host;
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

TEST_CASE("when ten clients attach and detach the same device, the last request wins") {
  ApiStickHost host;
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

TEST_CASE("VMs are listed and controlled, and their monitors released") {
  ApiStickHost host;
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

TEST_CASE("devices are suspended and resumed, except those that are meant to stay") {
  ApiStickHost host;
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
