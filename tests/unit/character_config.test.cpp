// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// What is refused of serial ports, character devices and virtio-serial.
#include "catch.hpp"
#include "refusal.hpp"

#include <fmt/format.h>

#include <string>

using namespace qemuctl;
using Catch::Matchers::ContainsSubstring;
using test::refusal;

namespace {

std::string serial(const std::string& members) {
  return refusal(fmt::format(R"({{"name": "a", "serials": [{{{}}}]}})", members));
}

std::string chardev(const std::string& members) {
  return refusal(fmt::format(R"({{"chardevs": [{{"id": "a", {}}}]}})", members));
}

/// With character devices "a" to "c", and `more` members of the VM.
std::string ports(const std::string& list, const std::string& more = "") {
  return refusal(fmt::format(R"({{"chardevs": [{{"id": "a", "backend": "null"}}, {{"id": "b", "backend": "null"}},
                                               {{"id": "c", "backend": "pty"}}],
                                 "virtioSerial": {{"ports": [{}]}}{}}})",
                             list, more));
}

} // namespace

TEST_CASE("the options of a serial port must match its type") {
  CHECK(serial("") == "not refused");
  CHECK(serial(R"("wait": true)") == "not refused");
  CHECK_THAT(serial(R"("type": "stdio")"), ContainsSubstring("serials[0].type: found \"stdio\", expected \"socket\""));
  CHECK_THAT(serial(R"("device": "isa")"), ContainsSubstring("serials[0].device: found \"isa\""));
  CHECK_THAT(serial(R"("server": false)"), ContainsSubstring("serials[0].path: found nothing, expected the socket"));
  CHECK_THAT(serial(R"("path": "a", "server": false, "wait": true)"),
             ContainsSubstring("serials[0].wait: has no effect but for a socket that listens"));
  for (const char* type : {"file", "pipe"})
    CHECK_THAT(serial(fmt::format(R"("type": "{}")", type)),
               ContainsSubstring(fmt::format("serials[0].path: found nothing, expected the path of a {}", type)));
  for (const char* type : {"pty", "null"}) {
    CHECK_THAT(serial(fmt::format(R"("type": "{}", "path": "a")", type)),
               ContainsSubstring("serials[0].path: has no effect for type"));
    CHECK_THAT(serial(fmt::format(R"("type": "{}", "server": false)", type)),
               ContainsSubstring("serials[0].server: has no effect for type"));
  }
}

TEST_CASE("a machine's built-in serial ports are limited, but others can be added") {
  CHECK_THAT(refusal(R"({"name": "a", "serials": [{}, {}, {}, {}, {"device": "isa-serial"}]})"),
             ContainsSubstring("serials: found 5 serial ports of the machine, expected at most 4"));
  CHECK(refusal(R"({"name": "a", "serials": [{}, {}, {}, {}, {"device": "pci-serial"}, {"device": "usb-serial"},
                                             {"device": "virtio-serial"}]})") == "not refused");
  QemuInfo arm = test::some_qemu();
  arm.path = "/usr/bin/qemu-system-aarch64";
  CHECK_THAT(refusal(R"({"name": "a", "arch": "arm64", "serials": [{"device": "isa-serial"}]})", arm),
             ContainsSubstring("serials[0].device: found \"isa-serial\", expected another, as the machine \"virt\""));
  CHECK_THAT(refusal(R"({"name": "a", "arch": "arm64", "serials": [{}, {}]})", arm),
             ContainsSubstring("expected at most 1"));
}

TEST_CASE("the options of a character device must match its backend") {
  CHECK_THAT(chardev(R"("backend": "sockets")"), ContainsSubstring("did you mean \"socket\"?"));
  CHECK_THAT(chardev(R"("backend": "socket")"), ContainsSubstring("chardevs[0]: found neither path nor host"));
  CHECK_THAT(chardev(R"("backend": "socket", "path": "a", "host": "h", "port": 1)"),
             ContainsSubstring("chardevs[0]: found path and host"));
  CHECK_THAT(chardev(R"("backend": "socket", "host": "h")"), ContainsSubstring("chardevs[0].port: found 0"));
  CHECK_THAT(chardev(R"("backend": "socket", "path": "a", "port": 5)"),
             ContainsSubstring("chardevs[0].port: has no effect without host"));
  CHECK_THAT(chardev(R"("backend": "socket", "path": "a", "wait": true)"),
             ContainsSubstring("chardevs[0].wait: has no effect"));
  CHECK_THAT(chardev(R"("backend": "socket", "path": "a", "server": true, "reconnect": 3)"),
             ContainsSubstring("chardevs[0].reconnect: has no effect but for a socket that connects"));
  CHECK(chardev(R"("backend": "socket", "path": "a", "reconnect": 3)") == "not refused");
  CHECK_THAT(chardev(R"("backend": "pty", "path": "a")"),
             ContainsSubstring("chardevs[0].path: has no effect for a pty"));
  CHECK_THAT(chardev(R"("backend": "pty", "server": true)"), ContainsSubstring("chardevs[0].server: has no effect"));
  CHECK_THAT(chardev(R"("backend": "file")"), ContainsSubstring("chardevs[0].path: found nothing"));
  CHECK_THAT(chardev(R"("backend": "null", "name": "x")"), ContainsSubstring("chardevs[0].name: has no effect"));
}

TEST_CASE("SPICE channels need a name and a SPICE server") {
  const std::string spice =
      R"(, "display": {"type": "spice", "spice": {"disableTicketing": true, "unix": true, "path": "s"}})";
  const auto with = [&](const std::string& channel, const std::string& more) {
    return refusal(fmt::format(R"({{"chardevs": [{{"id": "a", {}}}]{}}})", channel, more));
  };
  for (const char* backend : {"spicevmc", "spiceport"}) {
    const std::string channel = fmt::format(R"("backend": "{}", "name": "usbredir")", backend);
    CHECK(with(channel, spice) == "not refused");
    CHECK_THAT(with(channel, ""), ContainsSubstring(fmt::format("chardevs[0].backend: found \"{}\", expected a SPICE "
                                                                "display for it",
                                                                backend)));
    CHECK_THAT(with(fmt::format(R"("backend": "{}")", backend), spice),
               ContainsSubstring("chardevs[0].name: found nothing"));
  }
  CHECK_THAT(refusal(R"({"spiceAgent": true})"), ContainsSubstring("spiceAgent: found true, expected a SPICE display"));
  CHECK(refusal(R"({"spiceAgent": true)" + spice + "}") == "not refused");
}

TEST_CASE("ids of character devices are unique") {
  CHECK_THAT(refusal(R"({"chardevs": [{"id": "a", "backend": "null"}, {"id": "a", "backend": "pty"}]})"),
             ContainsSubstring("chardevs[1].id: found \"a\", the id of chardevs[0]"));
  for (const char* id : {"qmp", "qemuctl-control", "guest-agent-chardev"})
    CHECK_THAT(refusal(fmt::format(R"({{"chardevs": [{{"id": "{}", "backend": "null"}}]}})", id)),
               ContainsSubstring("chardevs[0].id: "));
  CHECK_THAT(refusal(R"({"chardevs": [{"id": "1", "backend": "null"}]})"), ContainsSubstring("chardevs[0].id: "));
}

TEST_CASE("a virtio-serial port needs a chardev that exists and is not used elsewhere") {
  CHECK(ports(R"({"chardev": "a"}, {"chardev": "b", "type": "virtconsole"})") == "not refused");
  CHECK_THAT(ports(R"({"chardev": "d"})"),
             ContainsSubstring("virtioSerial.ports[0].chardev: found \"d\", expected the id of a character device"));
  CHECK_THAT(ports(R"({"chardev": "a"}, {"chardev": "a"})"),
             ContainsSubstring("virtioSerial.ports[1].chardev: found \"a\", which virtioSerial.ports[0].chardev has"));
  CHECK_THAT(ports(R"({"chardev": "a"})", R"(, "usbDevices": [{"type": "usb-serial", "chardev": "a"}])"),
             ContainsSubstring("usbDevices[0].chardev: found \"a\""));
  CHECK_THAT(ports(R"({"chardev": "a", "type": "console"})"), ContainsSubstring("virtioSerial.ports[0].type: "));
}

TEST_CASE("names of virtio-serial ports are unique, including those of agents") {
  CHECK_THAT(ports(R"({"chardev": "a", "name": "x"}, {"chardev": "b", "name": "x"})"),
             ContainsSubstring("virtioSerial.ports[1].name: found \"x\", the name of virtioSerial.ports[0].name"));
  CHECK_THAT(ports(R"({"chardev": "a", "name": "org.qemu.guest_agent.0"})", R"(, "guestAgent": "agent")"),
             ContainsSubstring("virtioSerial.ports[0].name: ") && ContainsSubstring("the name of guestAgent"));
  CHECK(ports(R"({"chardev": "a"}, {"chardev": "b"})") == "not refused");
}

TEST_CASE("a virtio-serial controller has a maximum number of ports") {
  const auto with = [](int max, const std::string& more) {
    return refusal(fmt::format(R"({{"name": "a", "virtioSerial": {{"maxPorts": {}}}{}}})", max, more));
  };
  const std::string agent = R"(, "guestAgent": "agent")", console = R"(, "serials": [{"device": "virtio-serial"}])";
  CHECK(with(1, "") == "not refused");
  CHECK(with(1, console) == "not refused");
  CHECK_THAT(with(1, agent), ContainsSubstring("virtioSerial.maxPorts: found 1, and 1 ports and 0 consoles"));
  CHECK(with(2, agent + console) == "not refused");
  CHECK_THAT(with(32, ""), ContainsSubstring("virtioSerial.maxPorts: "));
}

TEST_CASE("no socket or file of the VM is used twice") {
  CHECK_THAT(refusal(R"({"chardevs": [{"id": "a", "backend": "socket", "path": "s", "server": true},
                                      {"id": "b", "backend": "socket", "path": "s", "server": true}]})"),
             ContainsSubstring("chardevs[1].path: found \"/vm/s\", which chardevs[0].path has, too"));
  CHECK_THAT(refusal(R"({"name": "a", "serials": [{"path": "s"}], "guestAgent": "s"})"),
             ContainsSubstring("guestAgent: found \"/vm/s\", which serials[0].path has, too"));
}
