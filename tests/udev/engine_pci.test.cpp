// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// The same for PCI and input devices.
#include "catch.hpp"
#include "engine_host.hpp"
#include "fake_qemu.hpp"
#include "golden.hpp"
#include "testbed.hpp"

#include <hotplug/engine.hpp>

#include <fcntl.h>
#include <sys/file.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace hotplug;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
using qemuctl::Json;
using test::FakeQemu;
using test::first;
using Host = test::EngineHost;
using Fate = FakeQemu::Fate;

namespace {

constexpr const char* card = "0000:01:00.0";
constexpr const char* card_in_qemu = "pcihost-0000.01.00.0-12345678";

/// A host with a card that QEMU has from its start on, and a rule for it.
void add_card(Host& host) {
  host.add_vm("a");
  host.host.add_pci(card, "82574L");
  PciMatch match;
  match.address = card;
  PciRule rule;
  rule.vms.emplace_back("a");
  rule.allow.push_back(match);
  host.config.pci_rules.push_back(rule);
}

void put_card_into(FakeQemu& qemu) {
  Json properties;
  properties.set("driver", "vfio-pci");
  properties.set("host", card);
  qemu.have(card_in_qemu, properties);
}

const DeviceState& card_of(const std::vector<DeviceState>& states) {
  for (const DeviceState& state : states)
    if (kind_of(state.device) == DeviceKind::pci) return state;
  throw std::runtime_error("there is no card");
}

} // namespace

TEST_CASE("a card that a VM starts with counts as attached by an engine, and follows the rules") {
  Host host;
  host.options.attach_connected = false;
  host.options.unplug_timeout = 100ms;
  add_card(host);
  FakeQemu qemu(host.socket("a"));
  put_card_into(qemu);
  host.start_and_connect();
  host.wait_until("it is known", [&] { return card_of(host.engine->devices()).vm == "a"; });
  CHECK_FALSE(card_of(host.engine->devices()).foreign);
  CHECK(qemu.count("device_add") == 0);
  Config other = host.config;
  other.pci_rules[0].enabled = false;
  host.engine->reload(other);
  host.wait_until("its guest is asked", [&] { return qemu.count("device_del") == 1; });
  host.wait_until("it is told", [&] { return !card_of(host.engine->devices()).degraded.empty(); });
  CHECK_THAT(card_of(host.engine->devices()).degraded, ContainsSubstring("has not let go of"));
}

TEST_CASE("a card that another engine has given back is journalled again before it is taken") {
  Host host;
  host.config.general.modprobe = "/bin/false"; // so that no driver is changed
  const std::string address = "0000:00:05.0";
  const std::filesystem::path noted = host.dir / "lent" / address;
  std::filesystem::create_directories(noted.parent_path());
  test::write_file(noted, "e1000e\n\n");
  std::filesystem::create_directories(host.dir / "claims");
  qemuctl::FileDescriptor other(::open((host.dir / "claims" / address).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  REQUIRE(::flock(other.get(), LOCK_EX | LOCK_NB) == 0);
  host.add_vm("a");
  host.host.add_pci(address, "82574L", 7, "e1000e");
  PciRule rule;
  rule.vms = {"a"};
  rule.allow.emplace_back().address = address;
  host.config.pci_rules.push_back(rule);
  host.start();
  host.wait_until("it is there", [&] { return !host.engine->devices().empty(); });
  std::filesystem::remove(noted);
  other.reset();
  FakeQemu qemu(host.socket("a"));
  host.wait_until("it is noted", [&] { return std::filesystem::exists(noted); });
  CHECK(test::read_file(noted) == "e1000e\n\n");
  CHECK(qemu.count("device_add") == 0);
}

TEST_CASE("a card with virtual functions stays with the host, even with force while one of them is in a VM") {
  Host host;
  host.add_vm("a");
  host.add_vm("b");
  const std::string physical = "0000:00:05.0", function = "0000:00:05.1";
  host.host.add_pci(physical, "82576", 7, "igb", "L: virtfn0=../" + function + "\n");
  host.host.add_pci(function, "82576 VF", 8, "igbvf");
  for (const auto& [vm, address] : {std::pair("a", physical), std::pair("b", function)}) {
    PciRule rule;
    rule.vms = {vm};
    rule.allow.emplace_back().address = address;
    rule.force = true;
    host.config.pci_rules.push_back(rule);
  }
  FakeQemu qemu(host.socket("a"));
  host.start();
  const auto problem = [&] {
    for (const DeviceState& each : host.engine->devices())
      if (sys_name_of(each.device) == physical) return each.degraded;
    return std::string();
  };
  host.wait_until("it is degraded", [&] { return !problem().empty(); });
  CHECK_THAT(problem(), ContainsSubstring("its virtual function 0000:00:05.1 is VM b's"));
  Config other = host.config;
  other.pci_rules[0].force = other.pci_rules[1].enabled = false;
  host.engine->reload(other);
  host.wait_until("the reason is another one",
                  [&] { return problem().find("it has virtual functions (0000:00:05.1)") != std::string::npos; });
  CHECK_FALSE(std::filesystem::exists(host.dir / "lent" / physical));
}

TEST_CASE("a card on a bus without hot-unplug stays in its VM with QEMU's reason, and QEMU is not pestered") {
  Host host;
  add_card(host);
  FakeQemu qemu(host.socket("a"), first("device_del", 1'000, Fate::refused));
  put_card_into(qemu);
  host.config.pci_rules[0].enabled = false;
  host.start_and_connect();
  host.wait_until("it is told", [&] { return !card_of(host.engine->devices()).degraded.empty(); });
  CHECK_THAT(card_of(host.engine->devices()).degraded, ContainsSubstring("does not support hotplugging"));
  CHECK(card_of(host.engine->devices()).vm == "a");
  CHECK(host.engine->vms().at(0).link == LinkState::connected);
  CHECK(qemu.count("device_del") == 1);
}

TEST_CASE("a guest that is too busy to release a card is asked again later") {
  Host host;
  host.options.ask_again_after = host.options.unplug_timeout = 50ms;
  add_card(host);
  FakeQemu qemu(host.socket("a"), first("device_del", 2, Fate::refused));
  put_card_into(qemu);
  host.config.pci_rules[0].enabled = false;
  host.start_and_connect();
  host.wait_until("it is asked a third time", [&] { return qemu.count("device_del") >= 3; });
  qemu.lose(card_in_qemu);
  host.wait_until("it is out", [&] { return !card_of(host.engine->devices()).vm; });
}

TEST_CASE("a card that its guest ejects unasked stays with the host") {
  Host host;
  add_card(host);
  FakeQemu qemu(host.socket("a"));
  put_card_into(qemu);
  host.start_and_connect();
  host.wait_until("it is known", [&] { return card_of(host.engine->devices()).vm == "a"; });
  qemu.lose(card_in_qemu);
  host.wait_until("it is out", [&] { return !card_of(host.engine->devices()).vm; });
  CHECK_THAT(card_of(host.engine->devices()).degraded, ContainsSubstring("it left its VM unexpectedly"));
  CHECK_FALSE(card_of(host.engine->devices()).target);
  CHECK(qemu.count("device_add") == 0);
}

TEST_CASE("an input device goes to a port of its rule, or to the next one if another device took that first") {
  Host host;
  host.add_vm("a");
  InputRule rule;
  rule.vms = {"a"};
  rule.allow.emplace_back().name = "AT keyboard";
  rule.port_prefix = "in";
  host.config.input_rules.push_back(rule);
  host.host.add_input(2, 2, "AT keyboard", "platform-i8042-serio-0");
  FakeQemu qemu(host.socket("a"));
  for (const char* port : {"in0", "in1", "rp0"}) {
    Json properties = Json::object({{"driver", "pcie-root-port"}, {"hotplug", true}});
    qemu.have(port, std::move(properties));
  }
  Json quicker = Json::object({{"driver", "e1000e"}, {"bus", "in0"}, {"unseen", true}});
  qemu.have("quicker", std::move(quicker));
  host.start();
  host.wait_until("it is in the VM", [&] {
    const std::vector<DeviceState> devices = host.engine->devices();
    return devices.size() == 1 && devices[0].vm == std::optional<std::string>("a");
  });
  REQUIRE(qemu.additions().size() == 2);
  CHECK(qemu.additions()[0].arguments.at("bus") == Json("in0"));
  CHECK(qemu.additions()[1].arguments.at("bus") == Json("in1"));
}

TEST_CASE("an input device that QEMU refuses because it already has it counts as attached") {
  Host host;
  host.add_vm("a");
  InputRule rule;
  rule.vms = {"a"};
  rule.allow.emplace_back().name = "AT keyboard";
  host.config.input_rules.push_back(rule);
  host.host.add_input(2, 2, "AT keyboard", "platform-i8042-serio-0");
  FakeQemu* vm = nullptr;
  FakeQemu qemu(host.socket("a"), [&](const FakeQemu::Command& command) {
    if (command.name != "device_add") return Fate::done;
    // Through another monitor, a moment ago, which no event tells.
    Json properties = Json::object({{"driver", "virtio-input-host-pci"}, {"evdev", "/dev/input/event2"}});
    vm->have("evdevhost-2-2-12345678", std::move(properties));
    return Fate::busy;
  });
  vm = &qemu;
  host.start();
  host.wait_until("it is in the VM", [&] {
    const std::vector<DeviceState> devices = host.engine->devices();
    return devices.size() == 1 && devices[0].vm == std::optional<std::string>("a");
  });
  CHECK(host.engine->devices()[0].degraded.empty());
  CHECK(qemu.count("device_add") == 1);
}

TEST_CASE("a device that the guest missed while booting is unplugged and plugged in again") {
  Host host;
  host.options.verify_after = 50ms;
  host.add_vm("a");
  InputMatch keyboard;
  keyboard.name = "AT keyboard";
  InputRule rule;
  rule.vms.push_back("a");
  rule.allow.push_back(keyboard);
  host.config.input_rules.push_back(rule);
  host.host.add_input(2, 2, "AT keyboard", "platform-i8042-serio-0");
  const bool missed = GENERATE(true, false), booting = GENERATE(true, false);
  if (!booting) host.options.boot_time = 0ms;
  FakeQemu qemu(host.socket("a"), first("device_add", missed ? 1 : 0, Fate::unbound));
  host.start();
  host.wait_until("it is in the VM", [&] { return qemu.devices().size() == 1; });
  const std::string before = qemu.devices().begin()->first;
  const auto in_vm = [&] { return host.engine->devices().at(0).vm == std::optional<std::string>("a"); };
  if (missed && booting) {
    host.wait_until("its guest is asked", [&] { return qemu.count("device_del") == 1; });
    host.wait_until("it is known", [&] { return !in_vm(); });
    qemu.lose(before); // the guest has booted meanwhile
    host.wait_until("it is in again", [&] { return qemu.count("device_add") == 2; });
    host.wait_until("it is looked at again", [&] { return qemu.count("query-pci") == 2; });
  } else if (booting) {
    host.wait_until("it is looked at", [&] { return qemu.count("query-pci") == 1; });
  }
  host.wait_until("it is known", in_vm);
  CHECK(qemu.count("device_del") == (missed && booting ? 1 : 0));
  CHECK((booting || qemu.count("query-pci") == 0));
}
