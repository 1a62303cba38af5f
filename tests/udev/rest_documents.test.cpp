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
#include <cctype>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <utility>
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

/// A VM "a" with a stick in it, a PCI device, two input devices, and a disk that may go to two VMs.
struct BusyHost : RestHost {
  BusyHost() : a(socket("a")), b(socket("b")) {
    add_vm("a");
    add_vm("b");
    add_vm("off");
    add_rule("Stick", "a").tag = "sticks";
    add_rule("Disk", "a").vms.push_back("b");
    host.plug(root, 3, 1, 5);
    host.add_pci("0000:0e:00.0", "Audio");
    host.add_input(3, 4, "Keys", "platform-i8042-serio-0");
    host.add_input(4, 5, "Pointer", "platform-i8042-serio-0");
    rest.webvirt_compat = true;
    rest.devices_dir = (dir / "devices").string();
    std::filesystem::create_directory(dir / "devices");
    test::write_file(dir / "devices" / "t.json", R"({"type":"usb","bus":3,"device":5})");
  }
  FakeQemu a, b;
};

/// What openapi.json says, against what is answered.
class Document {
 public:
  Document(RestHost& host, Json api) : host_(host), api_(std::move(api)) {}

  const Json& paths() const { return api_.at("paths"); }
  /// A reference within the document followed; anything else as it is.
  const Json& resolved(const Json& value) const {
    const Json* reference = value.find("$ref");
    if (!reference) return value;
    const Json* at = &api_;
    std::string_view rest = std::string_view(reference->as_string()).substr(2);
    while (!rest.empty()) {
      const std::string key(rest.substr(0, rest.find('/')));
      at = &at->at(key);
      rest.remove_prefix(std::min(key.size() + 1, rest.size()));
    }
    return *at;
  }
  /// Whether each of these is of that schema.
  std::vector<bool> fits(const Json& schema, const std::vector<Json>& documents) const {
    Json whole = schema;
    whole.set("$schema", "https://json-schema.org/draft/2020-12/schema");
    whole.set("components", api_.at("components"));
    const std::filesystem::path file = host_.dir / "schema.json";
    test::write_file(file, whole.dump());
    return test::verdicts(file, documents);
  }
  /// The same for a type by its name. None of them with a member more is.
  void check_type(const std::string& type, std::vector<Json> documents) const {
    INFO(type);
    const std::size_t count = documents.size();
    for (std::size_t i = 0; i < count; ++i) {
      Json more = documents[i];
      more.set("unheardOf", 1);
      documents.push_back(std::move(more));
    }
    const std::vector<bool> verdicts = fits(Json::object({{"$ref", "#/components/schemas/" + type}}), documents);
    for (std::size_t i = 0; i < documents.size(); ++i) {
      INFO(documents[i].dump());
      CHECK(verdicts.at(i) == (i < count));
    }
  }
  /// Checks an answer by what the document has for its path, method and status; its body in `check_bodies`.
  void check(const std::string& path, const std::string& method, const HttpAnswer& answer) {
    INFO(method << " " << path << " is answered with " << answer.status << ": " << answer.body.substr(0, 2'000));
    const Json& responses = paths().at(path).at(method).at("responses");
    const Json& response = resolved(responses.at(std::to_string(answer.status)));
    const Json* content = response.find("content");
    if (!content) {
      CHECK(answer.body.empty());
      return;
    }
    const std::string type = answer.header("content-type").substr(0, answer.header("content-type").find(';'));
    REQUIRE(content->contains(type));
    const Json* schema = content->at(type).find("schema");
    if (!type.ends_with("json")) {
      CHECK_FALSE(answer.body.empty());
      return;
    }
    // Each with a name of its own, so that one run of the validator looks at all of them.
    const std::string name = method + " " + path + ", " + std::to_string(bodies_.size());
    schemas_.set(name, *schema);
    bodies_.push_back(Json::object({{name, answer.json()}}));
  }
  void check_bodies() const {
    const std::vector<bool> verdicts = fits(Json::object({{"properties", schemas_}}), bodies_);
    for (std::size_t i = 0; i < bodies_.size(); ++i) {
      INFO(bodies_[i].dump());
      CHECK(verdicts.at(i));
    }
  }

 private:
  RestHost& host_;
  Json api_;
  Json schemas_ = Json::object(); ///< by the names of the members in `bodies_`
  std::vector<Json> bodies_;
};

std::string in_upper_case(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

/// A path of the document with these in the places of its parameters.
std::string with_parameters(std::string path, const std::string& vm, const std::string& device) {
  for (const auto& [name, value] : {std::pair<std::string, std::string>("{name}", vm),
                                    {"{id}", device},
                                    {"{action}", "pause"},
                                    {"{domain}", vm},
                                    {"{template}", "t"}})
    if (const std::size_t at = path.find(name); at != path.npos) path.replace(at, name.size(), value);
  return path;
}

} // namespace

TEST_CASE("REST: every path and method of openapi.json is answered as documented, with success and with errors") {
  BusyHost host;
  host.start_rest();
  host.wait_for("3-1", "a");
  HttpWire wire(host);
  const Json json = wire.ask("GET", "/openapi.json").json();
  CHECK_THAT(json.at("openapi").as_string(), StartsWith("3.1."));
  Document document(host, json);
  CHECK(document.paths().size() >= 18);
  for (const auto& [path, item] : document.paths().as_object()) {
    const std::string good = with_parameters(path, "a", "usb-3-1"), bad = with_parameters(path, "nope", "usb-9-9");
    for (const char* method : {"get", "put", "post", "delete"}) {
      const std::string upper = in_upper_case(method);
      if (!item.contains(method)) {
        INFO(method << " " << good);
        CHECK(wire.ask(upper, good).status == 405);
        continue;
      }
      if (path == "/api/1/events") continue; // it does not end; see the types of its events
      const HttpAnswer answer = wire.ask(upper, good);
      CHECK(answer.status < 300);
      document.check(path, method, answer);
      if (bad != good) document.check(path, method, wire.ask(upper, bad));
      document.check(path, method, wire.ask(upper, good, "Host: evil.example.com\r\n"));
    }
  }
  document.check_bodies();
}

TEST_CASE("REST: openapi.json lists exactly the errors that each operation can return") {
  BusyHost host;
  test::write_file(host.dir / "broken.json", R"({"name": "broken", "boot": {"kernel": "nothing"}})");
  VmEntry& broken = host.config.vms.emplace_back();
  broken.name = "broken";
  broken.config = host.dir / "broken.json";
  host.host.plug(host.root, 3, 2, 6);
  host.a.have("theirs", Json::object({{"driver", "usb-host"}, {"hostbus", 3}, {"hostaddr", 6}}));
  host.rest.token_file = host.token_file("ops 0123456789abcdef\n");
  host.start_rest();
  host.wait_for("3-1", "a");
  const std::string token = "Authorization: Bearer 0123456789abcdef\r\n";
  const Json api = ask(host, "GET", "/openapi.json").json();
  // Those take a VM, a client or a service that does not do what it should: see the other tests.
  const std::set<std::string> not_provoked{"408", "500", "502", "503", "504"};
  for (const auto& [path, item] : api.at("paths").as_object()) {
    for (const char* method : {"get", "put", "post", "delete"}) {
      if (!item.contains(method)) continue;
      INFO(method << " " << path);
      const std::string upper = in_upper_case(method);
      std::set<std::string> seen, named;
      const auto spoil = [&](const std::string& target, const std::string& fields, const std::string& body = {}) {
        const HttpAnswer answer = ask(host, upper, target, fields, body);
        if (answer.status >= 400) seen.insert(std::to_string(answer.status));
      };
      const std::string good = with_parameters(path, "a", "usb-3-1");
      spoil(good, token + "X: 1\r\nHost: localhost\r\nHost: localhost\r\n");
      spoil(good, "Authorization: Bearer nonsense\r\n");
      spoil(good, token + "Host: evil.example.com\r\n");
      spoil(good, token + "X: " + std::string(15 << 10, 'x') + "\r\nY: " + std::string(2 << 10, 'y') + "\r\n");
      spoil(good, token, std::string(129 << 10, ' '));
      spoil(good + "?" + std::string(9 << 10, 'x'), token);
      spoil(good, token + "Origin: http://evil.example.com\r\n");
      if (path.find('{') != path.npos) spoil(with_parameters(path, "nope", "usb-9-9"), token);
      if (path.find("/vms/{name}/") != path.npos) spoil(with_parameters(path, "off", ""), token);
      if (path.starts_with("/api/0/") && path.find('{') != path.npos)
        spoil(with_parameters(path, "off", "usb-9-9") + "?%", token);
      if (upper == "PUT" || upper == "DELETE") {
        spoil(good, token + "If-Match: \"nothing\"\r\n");
        spoil(with_parameters(path, "", "usb-3-2"), token); // which nobody of ours has attached
      }
      if (upper == "PUT") spoil(good, token, R"({"vm":"nope"})");
      if (upper == "POST") spoil("/api/1/vms/broken/actions/start", token);
      if (upper == "PUT" || upper == "POST") spoil(good, token + "Content-Type: text/plain\r\n", "{}");
      for (const auto& [status, response] : item.at(method).at("responses").as_object())
        if (status >= "400" && !not_provoked.contains(status)) named.insert(status);
      if (path == "/api/0/state/{domain}" || path == "/api/0/shutdown/{domain}") named.erase("422"); // QEMU refuses
      CHECK(named == seen);
    }
  }
}

TEST_CASE("REST: devices of each kind, VMs and events match the types in openapi.json") {
  BusyHost host;
  host.host.plug(host.root, 3, 4, 9, "Lamp");
  host.start_rest();
  host.wait_for("3-1", "a");
  HttpWire events(host);
  events.send("GET /api/1/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
  events.head();
  HttpWire wire(host);
  const Document document(host, wire.ask("GET", "/openapi.json").json());
  document.check_type("Hello", std::vector<Json>(1, events.event("hello").data));
  host.host.plug(host.root, 3, 2, 6, "Disk");
  document.check_type("Notification", std::vector<Json>(1, events.event("notification").data));
  const Json changed = events.event("device").data;
  host.wait_until("somebody has to choose", [&] { return host.state("3-2").select; });
  const Json devices = wire.ask("GET", "/api/1/devices").json();
  CHECK(devices.at("devices").size() == 6);
  std::vector<Json> each = devices.at("devices").as_array();
  each.push_back(changed);
  document.check_type("Device", each);
  document.check_type("Devices", std::vector<Json>(1, devices));
  const Json vms = wire.ask("GET", "/api/1/vms").json();
  document.check_type("Vms", std::vector<Json>(1, vms));
  document.check_type("Vm", vms.at("vms").as_array());
  CHECK_FALSE(document.fits(Json::object({{"$ref", "#/components/schemas/Devices"}}), std::vector<Json>(1, vms)).at(0));
}

TEST_CASE("REST: the documentation page loads nothing from other sites") {
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

TEST_CASE("REST: metrics count why devices were not where they should be") {
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

TEST_CASE("REST: metrics count attaches, detaches and failures") {
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
        "qemuctl_devices{kind=\"usb\",state=\"detached\"} 1", "qemuctl_devices{kind=\"pci\",state=\"host\"} 1",
        "qemuctl_attaches_total{kind=\"usb\"} 1", "qemuctl_detaches_total{kind=\"usb\"} 1",
        "qemuctl_attaches_total{kind=\"pci\"} 0", "qemuctl_request_failures_total{class=\"not-found\"} 1",
        "# TYPE qemuctl_attach_seconds histogram", "qemuctl_attach_seconds_bucket{le=\"+Inf\"} 1",
        "qemuctl_attach_seconds_count 1"})
    CHECK_THAT(answer.body, ContainsSubstring(std::string(line) + "\n"));
  CHECK(wire.ask("POST", "/metrics").status == 405);
}
