// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// USB controllers and devices, as QEMU has them.
#include "ask.hpp"
#include "machine.hpp"
#include "temp_dir.hpp"

#include <qemuctl/error.hpp>

#include <fmt/format.h>

#include <string>
#include <vector>

using namespace qemuctl;
using Catch::Matchers::ContainsSubstring;
using test::ask;
using test::describe;
using test::human;
using test::PausedVm;
using test::property;

namespace {

std::string list_of(const std::string& word, std::size_t count) {
  std::string list;
  for (std::size_t i = 0; i < count; ++i) list += fmt::format("{}\"{}\"", i == 0 ? "" : ", ", word);
  return list;
}

/// Ports from 1 to `count` have each a device of this speed, and there is no hub.
void check_ports(const std::string& text, std::size_t count, const std::string& speed) {
  INFO(text);
  for (std::size_t port = 1; port <= count; ++port)
    CHECK_THAT(text, ContainsSubstring(fmt::format("Port {}, Speed {} Mb/s", port, speed)));
  CHECK(text.find("Hub") == std::string::npos);
}

} // namespace

QEMU_TEST_CASE("six USB devices all get ports of the controller itself") {
  const test::TempDir dir;
  const VmConfig config =
      describe(R"({"usbDevices": ["usb-tablet", "usb-tablet", "usb-tablet", "usb-tablet", "usb-kbd"],
                   "usbTablet": true})",
               dir, qemu);
  const std::vector<Json> answers = ask(config, {human("info usb"), property("/machine/peripheral/usb", "p2"),
                                                 property("/machine/peripheral/usb-tablet", "type"),
                                                 property("/machine/peripheral/usb-device4", "type")});
  check_ports(answers[0].as_string(), 6, "480");
  CHECK(answers[1] == Json(15));
  CHECK(answers[2] == Json("usb-tablet"));
  CHECK(answers[3] == Json("usb-kbd"));
}

QEMU_TEST_CASE("every USB controller takes devices on all of its ports, at its highest speed") {
  struct Kind {
    const char* controller;
    std::size_t ports;
    const char* speed;
  };
  for (const Kind& kind :
       {Kind{"qemu-xhci", 15, "480"}, Kind{"nec-usb-xhci", 15, "480"}, Kind{"usb-ehci", 6, "480"},
        Kind{"ich9-usb-ehci1", 6, "480"}, Kind{"ich9-usb-ehci2", 6, "480"}, Kind{"piix3-usb-uhci", 2, "12"},
        Kind{"ich9-usb-uhci1", 2, "12"}, Kind{"pci-ohci", 3, "12"}}) {
    INFO(kind.controller);
    const test::TempDir dir;
    const auto with = [&](std::size_t count) {
      return describe(
          fmt::format(R"({{"usb": "{}", "usbDevices": [{}]}})", kind.controller, list_of("usb-tablet", count)), dir,
          qemu);
    };
    check_ports(ask(with(kind.ports), {human("info usb")})[0].as_string(), kind.ports, kind.speed);
    CHECK_THROWS_WITH(ask(with(kind.ports + 1), {}),
                      ContainsSubstring(fmt::format("usbDevices: found {} USB devices, expected at most {}",
                                                    kind.ports + 1, kind.ports)));
  }
}

QEMU_TEST_CASE("USB devices backed by a chardev have theirs") {
  const test::TempDir dir;
  const VmConfig config = describe(R"({
    "chardevs": [{"id": "redir", "backend": "null"}, {"id": "port", "backend": "ringbuf"}],
    "usbDevices": [{"type": "usb-redir", "chardev": "redir"}, {"type": "usb-serial", "chardev": "port"}]})",
                                   dir, qemu);
  const std::vector<Json> answers = ask(config, {property("/machine/peripheral/usb-device0", "chardev"),
                                                 property("/machine/peripheral/usb-device1", "chardev")});
  CHECK(answers == std::vector<Json>{"redir", "port"});
}

QEMU_TEST_CASE("USB devices of the host are found by identity and by location") {
  const test::TempDir dir;
  const VmConfig config = describe(R"({"hostDevices": [
    {"type": "usb", "vendorId": "fffe", "productId": "fffd"},
    {"type": "usb", "bus": 250, "port": "1.2"},
    {"type": "usb", "vendorId": "fffe", "bus": 250, "port": "3"}]})",
                                   dir, qemu);
  PausedVm vm(config);
  const auto value = [&](int device, const char* name) {
    return vm(property(fmt::format("/machine/peripheral/host-device{}", device), name));
  };
  CHECK(value(0, "vendorid") == Json(0xfffe));
  CHECK(value(0, "productid") == Json(0xfffd));
  CHECK(value(0, "hostbus") == Json(0));
  CHECK(value(0, "port") == Json("1"));
  CHECK(value(1, "vendorid") == Json(0));
  CHECK(value(1, "hostbus") == Json(250));
  CHECK(value(1, "hostport") == Json("1.2"));
  CHECK(value(2, "vendorid") == Json(0xfffe));
  CHECK(value(2, "hostport") == Json("3"));
  CHECK(value(2, "port") == Json("3"));
}

QEMU_TEST_CASE("missing host devices are reported before QEMU starts") {
  const test::TempDir dir;
  const VmConfig config = describe(R"({"hostDevices": [
    {"type": "usb", "bus": 250, "address": 7},
    {"type": "pci", "address": "ff:1e.7"},
    {"type": "pci", "address": "0001:ff:1e.7"}]})",
                                   dir, qemu);
  try {
    ask(config, {});
    FAIL("it was launched");
  } catch (const Error& error) {
    CHECK(error.code() == errc::not_found);
    CHECK_THAT(error.what(), ContainsSubstring("hostDevices[0].address: there is no USB device 7 on bus 250"));
    CHECK_THAT(error.what(), ContainsSubstring("hostDevices[1].address: there is no PCI device 0000:ff:1e.7"));
    CHECK_THAT(error.what(), ContainsSubstring("hostDevices[2].address: there is no PCI device 0001:ff:1e.7"));
  }
}
