// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// What the REST API says of itself: openapi.json against real answers, and the numbers in /metrics.
#include "catch.hpp"
#include "fake_qemu.hpp"
#include "golden.hpp"
#include "rest_host.hpp"
#include "schema.hpp"

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

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

/// A VM "a" with a stick in it, a PCI device, an input device, and a stick that waits for an answer.
struct BusyHost : RestHost {
  BusyHost() : a(socket("a")), b(socket("b")) {
    add_vm("a");
    add_vm("b");
    add_vm("off");
    add_rule("Stick", "a").tag = "sticks";
    add_rule("Disk", "a").vms.push_back("b");
    host.plug(root, 3, 1, 5);
    rest.webvirt_compat = true;
    rest.devices_dir = (dir / "devices").string();
    std::filesystem::create_directory(dir / "devices");
    test::write_file(dir / "devices" / "t.json", R"({"type":"usb","bus":3,"device":5})");
  }
  FakeQemu a, b;
};

/// Checks that each of these documents is of that type of openapi.json, and that it is none with a member more.
void check_type(const RestHost& host, const Json& api, const std::string& type, std::vector<Json> documents) {
  INFO(type);
  Json schema = api;
  schema.set("$schema", "https://json-schema.org/draft/2020-12/schema");
  schema.set("$ref", "#/components/schemas/" + type);
  const std::filesystem::path file = host.dir / (type + ".json");
  test::write_file(file, schema.dump());
  const std::size_t count = documents.size();
  for (std::size_t i = 0; i < count; ++i) {
    Json more = documents[i];
    more.set("unheardOf", 1);
    documents.push_back(std::move(more));
  }
  const std::vector<bool> verdicts = test::verdicts(file, documents);
  for (std::size_t i = 0; i < documents.size(); ++i) {
    INFO(documents[i].dump());
    CHECK(verdicts.at(i) == (i < count));
  }
}

} // namespace

TEST_CASE("REST: real answers are what openapi.json says") {
  BusyHost host;
  host.host.plug(host.root, 3, 4, 9, "Lamp");
  host.start_rest();
  host.wait_for("3-1", "a");
  HttpWire events(host);
  events.send("GET /api/1/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
  events.head();
  HttpWire wire(host);
  const Json api = wire.ask("GET", "/openapi.json").json();
  CHECK_THAT(api.at("openapi").as_string(), StartsWith("3.1."));
  const auto one = [](Json document) { return std::vector<Json>(1, std::move(document)); };
  const auto got = [&](const char* target) { return wire.ask("GET", target).json(); };
  check_type(host, api, "Hello", one(events.event("hello").data));
  host.host.plug(host.root, 3, 2, 6, "Disk");
  const Json connected = events.event("notification").data;
  const Json changed = events.event("device").data;
  host.wait_until("somebody has to choose", [&] { return host.state("3-2").select; });
  const Json devices = got("/api/1/devices");
  CHECK(devices.at("devices").size() == 3);
  check_type(host, api, "Devices", one(devices));
  std::vector<Json> each = devices.at("devices").as_array();
  each.push_back(changed);
  check_type(host, api, "Device", each);
  check_type(host, api, "Notification", one(connected));
  check_type(host, api, "Vms", one(got("/api/1/vms")));
  check_type(host, api, "Vm", got("/api/1/vms").at("vms").as_array());
  check_type(host, api, "Rules", one(got("/api/1/rules")));
  check_type(host, api, "Permissions", one(got("/api/1/permissions")));
  check_type(host, api, "Service", one(got("/api/1")));
  check_type(host, api, "Explanation", one(got("/api/1/devices/usb-3-1/explanation")));
  check_type(host, api, "Attachment", one(got("/api/1/devices/usb-3-1/attachment")));
  check_type(host, api, "Problem", one(got("/api/1/devices/nothing")));
  check_type(host, api, "ActionDone", one(wire.ask("POST", "/api/1/vms/a/actions/pause").json()));
  check_type(host, api, "WebvirtDevice", one(got("/api/0/detach/a/t")));
  check_type(host, api, "WebvirtError", one(got("/api/0/state/nope")));
}

TEST_CASE("REST: everything that openapi.json has is served") {
  BusyHost host;
  host.start_rest();
  host.wait_for("3-1", "a");
  HttpWire wire(host);
  const Json api = wire.ask("GET", "/openapi.json").json();
  CHECK(api.at("paths").size() >= 18);
  for (const auto& [path, item] : api.at("paths").as_object()) {
    std::string target = path;
    const auto replace = [&](const std::string& name, const std::string& value) {
      if (const std::size_t at = target.find(name); at != target.npos) target.replace(at, name.size(), value);
    };
    replace("{name}", "a");
    replace("{id}", "usb-3-1");
    replace("{action}", "pause");
    replace("{domain}", "a");
    replace("{template}", "t");
    for (const char* method : {"get", "put", "post", "delete"}) {
      INFO(method << " " << target);
      std::string upper = method;
      std::ranges::transform(upper, upper.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
      const bool has = item.contains(method);
      if (has && target == "/api/1/events") continue; // it does not end
      const int status = wire.ask(upper, target).status;
      if (has)
        CHECK((status < 400 || status == 422 || status == 502)); // it is there, whatever comes of it
      else
        CHECK(status == 405);
    }
  }
}

TEST_CASE("REST: the document is shown with nothing from elsewhere") {
  RestHost host;
  host.start_rest();
  HttpWire wire(host);
  const HttpAnswer docs = wire.ask("GET", "/docs");
  CHECK(docs.status == 200);
  CHECK(docs.header("content-type") == "text/html; charset=utf-8");
  for (const char* file : {"/docs", "/docs.js", "/docs.css"}) {
    const std::string text = wire.ask("GET", file).body;
    CHECK_FALSE(text.empty());
    for (const char* elsewhere : {"http://", "https://", "src=\"//", "innerHTML", "<style", " style="}) {
      INFO(file << " " << elsewhere);
      CHECK(text.find(elsewhere) == text.npos);
    }
  }
}

TEST_CASE("REST: numbers for Prometheus tell why devices were not where they were to be") {
  BusyHost host;
  host.options.attach_connected = false;
  host.host.add_pci("0000:0f:00.0", "82574L"); // without an IOMMU
  PciMatch match;
  match.vendor_id = 0x8086;
  PciRule rule;
  rule.vms.emplace_back("a");
  rule.allow.push_back(match);
  host.config.pci_rules.push_back(rule);
  host.config.general.max_arrivals_per_minute = 1;
  bool refuse = true;
  host.add_vm("strict");
  const FakeQemu strict(host.socket("strict"), [&](const FakeQemu::Command& command) {
    return command.name == "device_add" && refuse ? FakeQemu::Fate::refused : FakeQemu::Fate::done;
  });
  host.add_rule("Key", "strict");
  host.start_rest();
  const auto wait_for = [&](const std::string& port) {
    host.wait_until(("something is said of " + port).c_str(),
                    [&] { return host.is_there(port) && !host.state(port).degraded.empty(); });
  };
  host.host.plug(host.root, 3, 4, 8, "Key");
  wait_for("3-4");
  for (const int address : {9, 10}) {
    host.wait_until("it is gone", [&] { return !host.is_there("3-6"); });
    const std::string lamp = host.host.plug(host.root, 3, 6, address, "Lamp");
    host.wait_until("it is there", [&] { return host.is_there("3-6"); });
    if (address == 9) host.host.pull(lamp);
  }
  wait_for("3-6");
  CHECK(ask(host, "PUT", "/api/1/devices/pci-0000:0f:00.0/attachment").status == 502);
  const std::string text = ask(host, "GET", "/metrics").body;
  for (const char* line : {"qemuctl_device_problems_total{kind=\"pci\",class=\"group\"} 1",
                           "qemuctl_device_problems_total{kind=\"usb\",class=\"refused\"} 1",
                           "qemuctl_device_problems_total{kind=\"usb\",class=\"flapping\"} 1"})
    CHECK_THAT(text, ContainsSubstring(std::string(line) + "\n"));
}

TEST_CASE("REST: numbers for Prometheus count what has happened") {
  BusyHost host;
  host.options.attach_connected = false;
  host.start_rest();
  HttpWire wire(host);
  CHECK(wire.ask("PUT", "/api/1/devices/usb-3-1/attachment").status == 200);
  CHECK(wire.ask("DELETE", "/api/1/devices/usb-3-1/attachment").status == 200);
  CHECK(wire.ask("GET", "/api/1/devices/nothing").status == 404);
  const HttpAnswer answer = wire.ask("GET", "/metrics");
  CHECK_THAT(answer.header("content-type"), StartsWith("text/plain; version=0.0.4"));
  for (const char* line :
       {"# TYPE qemuctl_vms gauge", "qemuctl_vms{state=\"running\"} 2", "qemuctl_vms{state=\"shutdown\"} 1",
        "qemuctl_devices{kind=\"usb\",state=\"detached\"} 1", "qemuctl_devices{kind=\"pci\",state=\"host\"} 0",
        "qemuctl_attaches_total{kind=\"usb\"} 1", "qemuctl_detaches_total{kind=\"usb\"} 1",
        "qemuctl_attaches_total{kind=\"pci\"} 0", "qemuctl_request_failures_total{class=\"not-found\"} 1",
        "# TYPE qemuctl_attach_seconds histogram", "qemuctl_attach_seconds_bucket{le=\"+Inf\"} 1",
        "qemuctl_attach_seconds_count 1"})
    CHECK_THAT(answer.body, ContainsSubstring(std::string(line) + "\n"));
  CHECK(wire.ask("POST", "/metrics").status == 405);
}
