// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// What hotplug/API.md says is what happens.
#include "api_host.hpp"
#include "api_request.hpp"
#include "catch.hpp"
#include "fake_qemu.hpp"
#include "golden.hpp"
#include "machine.hpp"

#include <qemuctl/json.hpp>

#include <linux/vm_sockets.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <atomic>
#include <deque>
#include <fstream>
#include <map>
#include <regex>
#include <set>
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

/// What the screen of a VM shows: one black pixel, so that its picture fits into a document.
std::string one_pixel() {
  using namespace std::string_literals;
  return "\x89PNG\r\n\x1a\n"
         "\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0\x3a\x7e\x9b\x55"
         "\0\0\0\nIDATx\xda\x63\x60\0\0\0\x02\0\x01\xe5\x27\xde\xfc"
         "\0\0\0\0IEND\xae\x42\x60\x82"s;
}

/// A line of the service as the document has it, where it depends on the machine.
std::string as_documented(std::string line, const std::string& folder) {
  for (std::size_t at = line.find(folder); at != line.npos; at = line.find(folder))
    line.replace(at, folder.size(), "/run");
  static const std::regex pid(R"("pid":(\d+))");
  std::smatch found;
  if (!std::regex_search(line, found, pid)) return line;
  CHECK(test::read_file("/proc/" + found.str(1) + "/comm").starts_with("qemu-system"));
  return std::regex_replace(line, pid, R"("pid":4711)");
}

/// The transport between client and service.
enum class By { unix_socket, tcp, vsock };

test::Wire connect(test::ApiHost& host, By transport) {
  if (transport != By::vsock) return test::Wire(host, transport == By::tcp ? host.server->tcp_port() : 0);
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_cid = VMADDR_CID_LOCAL;
  address.svm_port = static_cast<unsigned>(host.api.port);
  return test::Wire(host, asio::generic::stream_protocol::endpoint(&address, sizeof address));
}

/// Plays the whole document.
void play_document(By transport) {
  test::ApiHost host;
  std::atomic<bool> refusing = false;
  FakeQemu vm1(host.socket("vm1"), [&](const FakeQemu::Command& command) {
    return refusing && command.name == "device_add" ? FakeQemu::Fate::refused : FakeQemu::Fate::done;
  });
  vm1.show(one_pixel());
  host.add_vm("vm1");
  VmEntry& vm2 = host.config.vms.emplace_back();
  vm2.name = "vm2";
  vm2.config = host.dir / "vm2.json";
  const Json description = Json::object({{"name", "vm2"},
                                         {"qemuPath", test::qemus().front().string()},
                                         {"memory", "64M"},
                                         {"machine", Json::object({{"accel", "tcg"}})},
                                         {"socketDir", host.dir.path().string()}});
  test::write_file(vm2.config, description.dump());
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
  if (transport == By::tcp) host.api.transports.push_back("tcp");
  if (transport == By::vsock) {
    host.api.transports.push_back("vsock");
    host.api.port = 2000;
    host.api.allowed_cids = {{VMADDR_CID_LOCAL}};
  }
  host.api_options.reload = [&] { host.server->announce_reload(); };
  host.start_api();
  test::Wire wire = connect(host, transport);

  std::deque<std::string> answers, events;
  const std::string folder = host.dir.path().string();
  const auto next = [&](std::deque<std::string>& wanted) {
    while (wanted.empty()) {
      std::string line = as_documented(wire.line().value(), folder);
      (line.starts_with(R"({"event")") ? events : answers).push_back(std::move(line));
    }
    std::string line = wanted.front();
    wanted.pop_front();
    return line;
  };
  std::set<std::string> undocumented;
  for (const detail::KnownAction& action : detail::known_actions()) undocumented.emplace(action.name);
  std::string request, asked;
  for (const Part& part : parts_of(test::read_file(test::source_dir() / "hotplug/API.md"))) {
    INFO(part.kind << ": " << part.text);
    if (part.kind == "request") {
      request = part.text;
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
      if (part.text.find(R"("result": "ok")") != part.text.npos)
        undocumented.erase(qemuctl::parse_json(request).at("action").as_string());
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
    } else {
      FAIL("what this is to mean is not known");
    }
  }
  CHECK(undocumented == std::set<std::string>());
  CHECK(answers.empty());
  CHECK(events.empty());
}

} // namespace

TEST_CASE("every request in API.md gets the documented answer and events") {
  play_document(GENERATE(By::unix_socket, By::tcp));
}

// Takes a kernel that loops VSOCK back: tests/e2e runs it in a host in a VM.
TEST_CASE("every request in API.md gets the documented answer and events over VSOCK", "[.][vsock]") {
  play_document(By::vsock);
}
