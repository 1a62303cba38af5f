// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// What hotplug/API.md says is what happens.
#include "api_host.hpp"
#include "catch.hpp"
#include "fake_qemu.hpp"
#include "golden.hpp"

#include <qemuctl/json.hpp>

#include <sys/stat.h>

#include <atomic>
#include <deque>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

using namespace hotplug;
using qemuctl::Json;
using test::FakeQemu;

namespace {

/// A part of the document: an example, or what a comment says is to happen.
struct Part {
  std::string kind; ///< "request", "answer", "event", "plug", "pull", ...
  std::string text;
};

std::vector<Part> parts_of(const std::string& document) {
  std::vector<Part> parts;
  std::istringstream lines(document);
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    if (inside && line == "```")
      inside = false;
    else if (inside)
      parts.back().text += line + '\n';
    else if (line.starts_with("```json "))
      inside = (parts.push_back({line.substr(8), ""}), true);
    else if (line.starts_with("<!-- "))
      parts.push_back({line.substr(5, line.find(':') - 5), line.substr(line.find(':') + 2, 3)});
  }
  return parts;
}

/// As it goes over the wire.
std::string one_line(const std::string& text) {
  return qemuctl::parse_json(text).dump();
}

} // namespace

TEST_CASE("every message in API.md is answered and told of as it says") {
  test::ApiHost host;
  std::atomic<bool> refusing = false;
  FakeQemu vm1(host.socket("vm1"), [&](const FakeQemu::Command& command) {
    return refusing && command.name == "device_add" ? FakeQemu::Fate::refused : FakeQemu::Fate::done;
  });
  std::unique_ptr<FakeQemu> vm2;
  host.add_vm("vm1");
  host.add_vm("vm2");
  UsbRule& rule = host.add_rule("Stick", "vm1");
  rule.vms.push_back("vm2");
  rule.tag = "sticks";
  rule.description = "sticks";
  std::ofstream(host.dir / "SSDT.aml") << "table";
  AcpiRule tables;
  tables.vm = "vm1";
  tables.allow.resize(1);
  tables.allow[0].file = (host.dir / "SSDT.aml").string();
  host.config.acpi_rules.push_back(tables);
  host.options.attach_connected = false;
  host.host.plug(host.root, 3, 1, 78);
  const auto plug_card = [&] { host.host.add_pci("0000:01:00.0", "82574L", 7); };
  const auto plug_keyboard = [&] { host.host.add_input(2, 2, "AT keyboard", "platform-i8042-serio-0"); };
  plug_card();
  plug_keyboard();
  PciRule& card_rule = host.config.pci_rules.emplace_back();
  card_rule.vms = {"vm2", "vm1"};
  card_rule.allow.emplace_back().vendor_id = 0x8086;
  InputRule& keyboard_rule = host.config.input_rules.emplace_back();
  keyboard_rule.vms = {"vm2", "vm1"};
  keyboard_rule.allow.emplace_back().name = "AT keyboard";
  const std::map<std::string, std::string> paths{{"3-1", "/devices/pci0000:00/0000:00:14.0/usb3/3-1"},
                                                 {"pci", "/devices/pci0000:00/0000:01:00.0"},
                                                 {"kbd", "/devices/platform/i8042/serio0/input/input2/event2"}};
  std::ofstream(host.dir / "tokens") << "examples 0123456789abcdef\n";
  ::chmod((host.dir / "tokens").c_str(), 0600);
  host.api.token_file = (host.dir / "tokens").string();
  host.api.transports.push_back("tcp");
  host.api_options.reload = [&] { host.server->announce_reload(); };
  host.start_api();
  // VSOCK takes a kernel with loopback: tests/e2e.
  const bool by_tcp = GENERATE(true, false);
  test::Wire wire(host, by_tcp ? host.server->tcp_port() : 0);

  std::deque<std::string> answers, events;
  const std::string folder = host.dir.path().string();
  const auto next = [&](std::deque<std::string>& wanted) {
    while (wanted.empty()) {
      std::string line = wire.line().value();
      for (std::size_t at = line.find(folder); at != line.npos; at = line.find(folder))
        line.replace(at, folder.size(), "/run");
      (line.starts_with(R"({"event")") ? events : answers).push_back(std::move(line));
    }
    std::string line = wanted.front();
    wanted.pop_front();
    return line;
  };
  int examples = 0;
  std::string asked;
  for (const Part& part : parts_of(test::read_file(test::source_dir() / "hotplug/API.md"))) {
    INFO(part.kind << ": " << part.text);
    if (part.kind == "request") {
      const int before = vm1.count("device_del");
      wire.send(one_line(part.text) + "\n");
      // A guest lets go of a card when it is asked to; of USB devices it is not asked.
      for (const auto& [id, properties] : vm1.devices()) {
        if (part.text.find("_detach") == part.text.npos || properties.at("driver") == Json("usb-host")) continue;
        host.wait_until("the guest is asked", [&] { return vm1.count("device_del") > before; });
        vm1.lose(id);
      }
    } else if (part.kind == "answer") {
      CHECK(next(answers) == one_line(part.text));
    } else if (part.kind == "event") {
      const std::string told = next(events);
      CHECK(told == one_line(part.text));
      if (told.find("usb_select_vm") != told.npos) asked = told;
    } else if (part.kind == "pull") {
      host.host.pull(paths.at(part.text));
      if (part.text == "kbd") host.host.pull("/devices/platform/i8042/serio0/input/input2");
    } else if (part.kind == "plug") {
      if (part.text == "pci")
        plug_card();
      else if (part.text == "kbd")
        plug_keyboard();
      else
        host.host.plug(host.root, 3, 2, 79);
      if (const auto added = paths.find(part.text); added != paths.end())
        host.host.event("/sys" + added->second, "add");
    } else if (part.kind == "refuse") {
      refusing = true;
      wire.send(R"({"action":"usb_attach","port_path":"3-2","vm":"vm1"})"
                "\n");
      CHECK(next(answers).find("failed") != std::string::npos);
      refusing = false;
      // It goes back to where it was, which is to wait for a choice.
      std::string degraded = next(events);
      CHECK(next(events) == asked);
      events.push_front(std::move(degraded));
    } else if (part.kind == "start") {
      vm2 = std::make_unique<FakeQemu>(host.socket("vm2"));
    } else {
      FAIL("what this is to mean is not known");
    }
    ++examples;
  }
  CHECK(examples > 100);
  CHECK(answers.empty());
  CHECK(events.empty());
}
