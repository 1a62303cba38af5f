// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// webvirt's documented requests, literally, with devices of umockdev's and QEMUs that do what they are told.
#include "catch.hpp"
#include "fake_qemu.hpp"
#include "rest_host.hpp"

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace hotplug;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;
using qemuctl::Json;
using test::FakeQemu;
using test::HttpAnswer;
using test::HttpWire;
using test::RestHost;

namespace {

/// The domain "test", which runs, and "off", which does not; a receiver (046d:c52b) that may go to "test".
struct WebvirtHost : RestHost {
  WebvirtHost() {
    qemu.emplace(socket("test"));
    add_vm("test");
    add_vm("off");
    add_rule("Stick", "test");
    options.attach_connected = false;
    host.plug(root, 3, 1, 5);
    rest.webvirt_compat = true;
    rest.devices_dir = (dir / "devices").string();
    std::filesystem::create_directory(dir / "devices");
    std::ofstream(dir / "devices" / "usb.xml") << R"(<hostdev mode='subsystem' type='usb' managed='yes'>
    <source>
        <vendor id='0x$VENDOR_ID'/>
        <product id='0x$PRODUCT_ID'/>
    </source>
</hostdev>
)";
    std::ofstream(dir / "devices" / "specific_usb_device.xml")
        << "<hostdev mode='subsystem' type='usb' managed='yes'><source><vendor id='0x046d'/><product id='0xc52b'/>"
           "</source></hostdev>";
    std::ofstream(dir / "devices" / "receiver.json") << R"({"type":"usb","bus":3,"device":"$NUMBER"})";
    std::ofstream(dir / "secret.xml") << "<hostdev/>";
  }
  std::optional<FakeQemu> qemu;
};

std::string detail_of(const HttpAnswer& answer, int status) {
  CHECK(answer.status == status);
  const Json json = answer.json();
  CHECK(json.size() == 1);
  return json.at("detail").as_string();
}

} // namespace

TEST_CASE("webvirt: states, starts and shutdowns are answered with its words") {
  WebvirtHost host;
  host.start_rest();
  HttpWire wire(host);
  CHECK(wire.ask("GET", "/api/0/version").body == "\"0.2.0\"");
  CHECK(wire.ask("GET", "/api/0/state/test").body == "\"running\"");
  CHECK(wire.ask("GET", "/api/0/state/off").body == "\"shut off\"");
  CHECK(wire.ask("GET", "/api/0/start/test").body == "\"already running\"");
  CHECK(wire.ask("GET", "/api/0/shutdown/off").body == "\"not running\"");
  CHECK(wire.ask("GET", "/api/0/shutdown/test").body == "\"shutting down\"");
  CHECK(host.qemu->count("system_powerdown") == 1);
  CHECK(detail_of(wire.ask("GET", "/api/0/state/nope"), 404) == "there is no domain \"nope\"");
  CHECK_THAT(detail_of(wire.ask("GET", "/api/0/start/off"), 422), ContainsSubstring("not known how"));
  CHECK(wire.ask("GET", "/api/0/fly/test").status == 404);
  CHECK(wire.ask("POST", "/api/0/start/test").status == 405);
  REQUIRE(host.audit().size() >= 1);
}

TEST_CASE("webvirt: a device is attached and detached by a template and its variables") {
  WebvirtHost host;
  host.start_rest();
  HttpWire wire(host);
  const char* xml =
      "<hostdev mode=\"subsystem\" type=\"usb\" managed=\"yes\">\n    <source>\n        <vendor id=\"0x046d\"/>\n"
      "        <product id=\"0xc52b\"/>\n    </source>\n</hostdev>";
  const Json attached = wire.ask("GET", "/api/0/attach/test/usb?vendor_id=046d&PRODUCT_id=c52b").json();
  CHECK(attached == Json::object({{"device", "attached"}, {"xml", xml}}));
  CHECK(host.is_in("3-1", "test"));
  const Json detached = wire.ask("GET", "/api/0/detach/test/usb?vendor_id=046d&product_id=c52b").json();
  CHECK(detached.at("device") == Json("detached"));
  CHECK_FALSE(host.state("3-1").vm);
  CHECK(wire.ask("GET", "/api/0/attach/test/specific_usb_device").status == 200);
  CHECK(wire.ask("GET", "/api/0/detach/test/specific_usb_device").status == 200);
  CHECK(wire.ask("GET", "/api/0/attach/test/receiver?number=5").json().at("xml").as_string() ==
        R"({"type":"usb","bus":3,"device":"5"})");
  CHECK(host.is_in("3-1", "test"));
  CHECK_THAT(detail_of(wire.ask("GET", "/api/0/detach/off/receiver?number=5"), 422),
             ContainsSubstring("not in VM off"));
}

namespace {

/// A host with a card in slot 0f:00.0, and webvirt's template for it.
struct CardHost : WebvirtHost {
  CardHost() {
    host.add_pci("0000:0f:00.0", "1080 Ti", 4711);
    PciMatch match;
    match.vendor_id = 0x8086;
    PciRule rule;
    rule.vms.emplace_back("test");
    rule.allow.push_back(match);
    config.pci_rules.push_back(rule);
    std::ofstream(dir / "devices" / "pci_with_rom.xml") << R"(<hostdev mode='subsystem' type='pci' managed='yes'>
  <source>
     <address domain='0x$DOMAIN' bus='0x$BUS' slot='0x$SLOT' function='0x$FUNCTION'/>
     <rom file="$ARBITRARY_VARIABLE_NAME"/>
  </source>
</hostdev>
)";
  }
  std::string request(const std::string& rom) const {
    return "/api/0/attach/test/pci_with_rom?domain=0000&bus=0f&slot=00&function=0&arbitrary_variable_name=" + rom;
  }
  /// The file that the card has as its ROM in QEMU, whenever it was put there.
  std::vector<std::string> roms() const {
    std::vector<std::string> files;
    for (const FakeQemu::Command& each : qemu->additions()) {
      const Json* file = each.arguments.find("romfile");
      files.push_back(file ? file->as_string() : "none");
    }
    return files;
  }
};

} // namespace

TEST_CASE("webvirt: a card gets the ROM of its template, and has it again when its VM and the service are back") {
  CardHost host;
  const std::string rom = (host.dir / "patched.rom").string();
  host.config.general.persistency = true;
  host.config.general.state_path = (host.dir / "state").string();
  std::ofstream(rom) << "55AA";
  host.start_rest();
  {
    HttpWire wire(host);
    const Json attached = wire.ask("GET", host.request(rom)).json();
    CHECK(attached.at("device") == Json("attached"));
    CHECK_THAT(attached.at("xml").as_string(), ContainsSubstring("<rom file=\"" + rom + "\"/>"));
    REQUIRE(host.roms() == std::vector<std::string>{rom});
    CHECK(wire.ask("GET", host.request(rom)).status == 200); // it is there
    std::ofstream(host.dir / "other.rom") << "55AA";
    CHECK_THAT(detail_of(wire.ask("GET", host.request((host.dir / "other.rom").string())), 422),
               ContainsSubstring("without that ROM file"));
  }
  host.stop_rest();
  host.qemu.reset();
  host.qemu.emplace(host.socket("test"));
  host.start_rest();
  host.wait_until("it is there again", [&] { return host.roms() == std::vector<std::string>{rom}; });
}

TEST_CASE("webvirt: a card whose ROM cannot be had stays where it is") {
  CardHost host;
  host.start_rest();
  HttpWire wire(host);
  std::ofstream(host.dir / "empty.rom") << "";
  for (const auto& [file, why] : {std::pair<std::string, const char*>("%2Fno%2Fsuch.rom", "No such file"),
                                  {"card.rom", "absolute path"},
                                  {host.dir.path().string(), "no regular file"},
                                  {(host.dir / "empty.rom").string(), "empty"}}) {
    INFO(file);
    CHECK_THAT(detail_of(wire.ask("GET", host.request(file)), 422), ContainsSubstring(why));
  }
  CHECK(host.qemu->count("device_add") == 0);
  CHECK(wire.ask("GET", host.request("")).status == 200); // its own
  CHECK(host.roms() == std::vector<std::string>{"none"});
}

TEST_CASE("webvirt: errors have webvirt's form") {
  WebvirtHost host;
  host.start_rest();
  HttpWire wire(host);
  CHECK_THAT(detail_of(wire.ask("GET", "/api/0/attach/test/nope"), 404), EndsWith("devices/nope.xml not found"));
  CHECK_THAT(detail_of(wire.ask("GET", "/api/0/attach/test/usb?vendor_id=1234&product_id=5678"), 422),
             ContainsSubstring("no such device"));
  CHECK_THAT(detail_of(wire.ask("GET", "/api/0/attach/test/usb?vendor_id=1234"), 422),
             ContainsSubstring("$PRODUCT_ID has no value"));
  CHECK_THAT(detail_of(wire.ask("GET", "/api/0/attach/off/specific_usb_device"), 422), ContainsSubstring("VM \"off\""));
  for (const char* name : {"..%2fsecret", "%2e%2e%2fsecret", "..%5csecret", "usb.xml", "usb%00", "/../secret"}) {
    INFO(name);
    const int status = wire.ask("GET", std::string("/api/0/attach/test/") + name).status;
    CHECK((status == 404 || status == 400));
  }
  CHECK(host.qemu->count("device_add") == 0);
}

TEST_CASE("webvirt: requests need a token, or a configuration that permits them without one") {
  {
    WebvirtHost host;
    host.rest.webvirt_compat = false;
    host.start_rest();
    HttpWire wire(host);
    for (const char* target : {"/api/0/version", "/api/0/start/test", "/api/0/attach/test/specific_usb_device"})
      CHECK_THAT(detail_of(wire.ask("GET", target), 403), ContainsSubstring("webvirtCompat"));
    CHECK(host.qemu->count("device_add") == 0);
  }
  WebvirtHost host;
  host.rest.webvirt_compat = false;
  host.rest.token_file = host.token_file();
  host.start_rest();
  HttpWire wire(host);
  CHECK(wire.ask("GET", "/api/0/attach/test/specific_usb_device").status == 401);
  const char* token = "Authorization: Bearer 0123456789abcdef\r\n";
  CHECK(wire.ask("GET", "/api/0/attach/test/specific_usb_device", token).status == 200);
  CHECK(host.is_in("3-1", "test"));
}

TEST_CASE("webvirt: a VM that cannot be reached is a 503, and /metrics counts what went wrong") {
  WebvirtHost host;
  host.qemu.reset();
  host.qemu.emplace(host.socket("test"), [](const FakeQemu::Command& command) {
    if (command.name == "system_powerdown") return FakeQemu::Fate::cut;
    return FakeQemu::Fate::done;
  });
  host.start_rest();
  HttpWire wire(host);
  CHECK_THAT(detail_of(wire.ask("GET", "/api/0/shutdown/test"), 503), ContainsSubstring("may still carry it out"));
  CHECK(wire.ask("GET", "/api/0/state/nope").status == 404);
  CHECK(wire.ask("GET", "/api/0/attach/off/specific_usb_device").status == 422);
  const std::string text = wire.ask("GET", "/metrics").body;
  for (const char* name : {"outcome-unknown", "not-found", "not-possible"})
    CHECK_THAT(text, ContainsSubstring("qemuctl_request_failures_total{class=\"" + std::string(name) + "\"} 1\n"));
}

TEST_CASE("webvirt: without a folder of templates there are none") {
  WebvirtHost host;
  host.rest.devices_dir.clear();
  host.start_rest();
  HttpWire wire(host);
  CHECK_THAT(detail_of(wire.ask("GET", "/api/0/attach/test/usb"), 404), ContainsSubstring("general.rest.devicesDir"));
}

TEST_CASE("webvirt: an image in a foreign page starts nothing") {
  WebvirtHost host;
  host.start_rest();
  HttpWire wire(host);
  CHECK(wire.ask("GET", "/api/0/shutdown/test", "Sec-Fetch-Site: cross-site\r\n").status == 403);
  CHECK(wire.ask("GET", "/api/0/shutdown/test", "Host: evil.example.com\r\n").status == 421);
  CHECK(host.qemu->count("system_powerdown") == 0);
}
