// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <hotplug/explanation.hpp>
#include <hotplug/usb_rule.hpp>
#include <qemuctl/error.hpp>

#include <chrono>
#include <functional>
#include <string>
#include <utility>
#include <vector>

using namespace hotplug;
using Catch::Matchers::ContainsSubstring;

namespace {

UsbDevice mouse() {
  UsbDevice device;
  device.sys_name = "3-1.4";
  device.bus = 3;
  device.address = 78;
  device.ports = {1, 4};
  device.peer_path = "4-1.4";
  device.vendor_id = 0x046d;
  device.product_id = 0xc52b;
  device.device_class = {0xef, 2, 0};
  device.vendor_name = "Logitech";
  device.product_name = "USB Receiver";
  device.serial = "A1B2";
  device.speed = 480;
  device.removable = "removable";
  device.controller = "0000:00:14.0";
  device.interfaces = {{3, 1, 1}, {3, 0, 2}};
  return device;
}

bool matches(const std::function<void(UsbMatch&)>& set, const UsbDevice& device = mouse()) {
  UsbRule rule;
  rule.vms = {"vm"};
  set(rule.allow.emplace_back());
  return UsbRules({rule}).evaluate(device).rule.has_value();
}

UsbRule rule(const std::string& vm, const std::string& product_name) {
  UsbRule result;
  result.vms = {vm};
  result.allow.emplace_back().product_name = product_name;
  return result;
}

Rules rules_of(std::vector<UsbRule> rules) {
  Config config;
  config.usb_rules = std::move(rules);
  return Rules(config);
}

} // namespace

TEST_CASE("each condition of a USB rule matches exactly what it says") {
  CHECK(matches([](UsbMatch& m) { m.vendor_id = 0x046d; }));
  CHECK_FALSE(matches([](UsbMatch& m) { m.vendor_id = 0x046e; }));
  CHECK(matches([](UsbMatch& m) { m.product_id = 0xc52b; }));
  CHECK_FALSE(matches([](UsbMatch& m) { m.product_id = 0; }));
  CHECK(matches([](UsbMatch& m) { m.serial = "A1B2"; }));
  CHECK_FALSE(matches([](UsbMatch& m) { m.serial = "A1"; }));
  CHECK(matches([](UsbMatch& m) { m.bus = 3; }));
  CHECK_FALSE(matches([](UsbMatch& m) { m.bus = 4; }));
  CHECK(matches([](UsbMatch& m) { m.port = 1; }));
  CHECK_FALSE(matches([](UsbMatch& m) { m.port = 4; }));
  CHECK(matches([](UsbMatch& m) { m.controller = "0000:00:14.0"; }));
  CHECK_FALSE(matches([](UsbMatch& m) { m.controller = "0000:00:14.1"; }));
  CHECK(matches([](UsbMatch& m) { m.device_class = 0xef, m.device_subclass = 2, m.device_protocol = 0; }));
  CHECK_FALSE(matches([](UsbMatch& m) { m.device_protocol = 1; }));
  CHECK(matches([](UsbMatch& m) { m.removable = {"fixed", "removable"}; }));
  CHECK_FALSE(matches([](UsbMatch& m) { m.removable = {"fixed"}; }));
  CHECK(matches([](UsbMatch& m) { m.speed = 480; }));
  CHECK_FALSE(matches([](UsbMatch& m) { m.speed = 12; }));
}

TEST_CASE("a port path matches on either side of the connector") {
  CHECK(matches([](UsbMatch& m) { m.port_path = "3-1.4"; }));
  CHECK(matches([](UsbMatch& m) { m.port_path = "4-1.4"; }));
  CHECK_FALSE(matches([](UsbMatch& m) { m.port_path = "3-1"; }));
  UsbDevice alone = mouse();
  alone.peer_path.clear();
  CHECK_FALSE(matches([](UsbMatch& m) { m.port_path = ""; }, alone));
}

TEST_CASE("regular expressions match at the start of names, ignoring case") {
  CHECK(matches([](UsbMatch& m) { m.product_name = "usb rec"; }));
  CHECK(matches([](UsbMatch& m) { m.product_name = ".*receiver"; }));
  CHECK_FALSE(matches([](UsbMatch& m) { m.product_name = "receiver"; }));
  CHECK(matches([](UsbMatch& m) { m.vendor_name = "LOGI(tech)?$"; }));
  CHECK_FALSE(matches([](UsbMatch& m) { m.vendor_name = "logi$"; }));
}

TEST_CASE("interface fields must match on the same interface, and 0 is a value") {
  CHECK(matches([](UsbMatch& m) { m.interface = {3, 1, 1}; }));
  CHECK(matches([](UsbMatch& m) { m.interface.protocol = 2; }));
  CHECK_FALSE(matches([](UsbMatch& m) { m.interface = {3, 1, 2}; }));
  CHECK(matches([](UsbMatch& m) { m.interface = {3, 0, 2}; }));
  CHECK_FALSE(matches([](UsbMatch& m) { m.interface = {3, 1, 0}; }));
}

TEST_CASE("conditions on all interfaces find a disk that is also a keyboard") {
  const InterfaceMatch disk{8, {}, {}}, hid{3, {}, {}}, any{};
  UsbDevice evil = mouse();
  evil.interfaces = {{3, 1, 1}, {8, 6, 80}};
  UsbDevice stick = mouse();
  stick.interfaces = {{8, 6, 80}};
  const auto equals_disk = [&](UsbMatch& m) { m.interfaces.equals = {disk}; };
  CHECK(matches(equals_disk, stick));
  CHECK_FALSE(matches(equals_disk, evil));
  CHECK_FALSE(matches(equals_disk, mouse()));
  const auto no_hid = [&](UsbMatch& m) { m.interfaces.none_of = {hid}; };
  CHECK(matches(no_hid, stick));
  CHECK_FALSE(matches(no_hid, evil));
  const auto both = [&](UsbMatch& m) { m.interfaces.all_of = {disk, hid}; };
  CHECK(matches(both, evil));
  CHECK_FALSE(matches(both, stick));
  const auto either = [&](UsbMatch& m) { m.interfaces.any_of = {disk, hid}; };
  CHECK(matches(either, stick));
  CHECK(matches(either, mouse()));
  CHECK(matches([&](UsbMatch& m) { m.interfaces.equals = {any}; }, stick));
}

TEST_CASE("all conditions must hold, and a match without conditions matches nothing") {
  CHECK(matches([](UsbMatch& m) { m.vendor_id = 0x046d, m.product_name = "USB", m.interface.code = 3; }));
  CHECK_FALSE(matches([](UsbMatch& m) { m.vendor_id = 0x046d, m.product_name = "USB", m.interface.code = 8; }));
  CHECK_FALSE(matches([](UsbMatch& m) { m.description = "anything"; }));
}

TEST_CASE("the kernel module matters only for devices without a valid interface") {
  UsbDevice device = mouse();
  device.driver_path = "/kernel/drivers/net/usb/ax88179.ko";
  const auto net = [](UsbMatch& m) { m.driver_path = ".*/net/usb/"; };
  CHECK_FALSE(matches(net, device));
  device.interfaces = {{0xff, 0xff, 0}};
  CHECK(matches(net, device));
  device.driver_path.clear();
  CHECK_FALSE(matches(net, device));
}

TEST_CASE("the first rule that allows and does not deny decides") {
  UsbRule denied = rule("one", "usb");
  denied.deny.emplace_back().vendor_id = 0x046d;
  UsbRule disabled = rule("two", "usb");
  disabled.enabled = false;
  UsbRule off = rule("three", "usb");
  off.allow[0].enabled = false;
  const UsbRules rules({rule("zero", "xyz"), denied, disabled, off, rule("four", "usb"), rule("five", "usb")});
  const Verdict verdict = rules.evaluate(mouse());
  CHECK(verdict.rule == 4);
  CHECK(verdict.vms == std::vector<std::string>{"four"});
  CHECK(verdict.trace.empty());

  UsbRule lenient = denied;
  lenient.deny[0].enabled = false;
  CHECK(UsbRules({lenient}).evaluate(mouse()).rule == 0);
  CHECK_FALSE(UsbRules().evaluate(mouse()).rule);
}

TEST_CASE("an explanation has every condition of every rule up to the one that decides") {
  UsbRule denied = rule("one", "usb");
  denied.description = "Receivers";
  denied.deny.emplace_back().vendor_id = 0x046d;
  UsbRule taken = rule("four", "usb");
  taken.allow[0].interface = {3, 1, 1};
  UsbDevice device = mouse();
  device.vendor_name = "evil\x1b[2J\nname";
  const std::string text = explanation(rules_of({denied, taken, rule("five", "usb")}), device);
  CHECK_THAT(text, ContainsSubstring("rule 0 (Receivers) matches, but denies this device"));
  CHECK_THAT(text, ContainsSubstring("yes vendorId: wanted 046d, found \"046d\""));
  CHECK_THAT(text, ContainsSubstring("rule 1 matches: it goes to VM four"));
  CHECK_THAT(text, ContainsSubstring("yes interface: wanted 030101, found \"030101 030002\""));
  CHECK_THAT(text, !ContainsSubstring("rule 2"));
  CHECK(text.find('\x1b') == std::string::npos);
  CHECK_THAT(explanation(rules_of({rule("x", "nothing")}), device),
             ContainsSubstring("no  productName: wanted nothing, found \"USB Receiver\"") &&
                 ContainsSubstring("no rule matches: it stays with the host"));
}

TEST_CASE("rules with an invalid regular expression are refused with their path") {
  UsbRule bad = rule("vm", "usb");
  bad.deny.emplace_back().vendor_name = "(unclosed";
  try {
    UsbRules({rule("vm", "usb"), bad});
    FAIL("taken");
  } catch (const qemuctl::Error& error) {
    CHECK(error.code() == qemuctl::errc::invalid_argument);
    CHECK_THAT(error.what(), ContainsSubstring("rules[1].deny[0].vendorName: (unclosed is no regular expression"));
  }
  CHECK_FALSE(regular_expression_error("(").empty());
  CHECK(regular_expression_error("a|b").empty());
}

TEST_CASE("a hostile name takes no more time than any other name of its length") {
  // Exponential for engines that go back.
  UsbDevice device = mouse();
  device.product_name = std::string(100'000, 'a') + "!";
  const auto begin = std::chrono::steady_clock::now();
  CHECK_FALSE(matches([](UsbMatch& m) { m.product_name = "(a+)+$"; }, device));
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(30));
}
