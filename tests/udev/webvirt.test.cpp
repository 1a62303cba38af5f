// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// webvirt's documented requests, literally, with devices of umockdev's and QEMUs that do what they are told.
#include "catch.hpp"
#include "fake_qemu.hpp"
#include "rest_host.hpp"

#include <filesystem>
#include <fstream>
#include <string>

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
  explicit WebvirtHost(FakeQemu::Decide decide = {}) : qemu(socket("test"), std::move(decide)) {
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
  FakeQemu qemu;
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
  CHECK(host.qemu.count("system_powerdown") == 1);
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

TEST_CASE("webvirt: what can not be is told as it tells it") {
  WebvirtHost host;
  host.start_rest();
  HttpWire wire(host);
  CHECK_THAT(detail_of(wire.ask("GET", "/api/0/attach/test/nope"), 404), EndsWith("devices/nope.xml not found"));
  CHECK_THAT(detail_of(wire.ask("GET", "/api/0/attach/test/usb?vendor_id=1234&product_id=5678"), 422),
             ContainsSubstring("no such device"));
  CHECK_THAT(detail_of(wire.ask("GET", "/api/0/attach/test/usb?vendor_id=1234"), 422),
             ContainsSubstring("$PRODUCT_ID has no value"));
  CHECK_THAT(detail_of(wire.ask("GET", "/api/0/attach/off/specific_usb_device"), 422), ContainsSubstring("VM off"));
  for (const char* name : {"..%2fsecret", "%2e%2e%2fsecret", "..%5csecret", "usb.xml", "usb%00", "/../secret"}) {
    INFO(name);
    const int status = wire.ask("GET", std::string("/api/0/attach/test/") + name).status;
    CHECK((status == 404 || status == 400));
  }
  CHECK(host.qemu.count("device_add") == 0);
}

TEST_CASE("webvirt: its requests need the token, or that somebody has said that they need none") {
  {
    WebvirtHost host;
    host.rest.webvirt_compat = false;
    host.start_rest();
    HttpWire wire(host);
    for (const char* target : {"/api/0/version", "/api/0/start/test", "/api/0/attach/test/specific_usb_device"})
      CHECK_THAT(detail_of(wire.ask("GET", target), 403), ContainsSubstring("webvirtCompat"));
    CHECK(host.qemu.count("device_add") == 0);
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

TEST_CASE("webvirt: an image in a foreign page starts nothing") {
  WebvirtHost host;
  host.start_rest();
  HttpWire wire(host);
  CHECK(wire.ask("GET", "/api/0/shutdown/test", "Sec-Fetch-Site: cross-site\r\n").status == 403);
  CHECK(wire.ask("GET", "/api/0/shutdown/test", "Host: evil.example.com\r\n").status == 421);
  CHECK(host.qemu.count("system_powerdown") == 0);
}
