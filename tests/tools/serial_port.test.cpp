// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "serial_port.hpp"

#include "catch.hpp"

using qemuctl::Json;
using tool::Chardev;
using tool::first_serial_port;
using tool::parse_chardev;

namespace {

Json chardev(const char* label, const char* filename) {
  return Json::object({{"label", label}, {"filename", filename}, {"frontend-open", true}});
}

} // namespace

TEST_CASE("a chardev's filename shows its kind, its path and whether it has a client") {
  CHECK(parse_chardev("disconnected:unix:/run/a.serial0,server=on") ==
        Chardev{Chardev::Kind::unix_socket, "/run/a.serial0", false});
  CHECK(parse_chardev("unix:/run/a.serial0,server=on") == Chardev{Chardev::Kind::unix_socket, "/run/a.serial0", true});
  CHECK(parse_chardev("disconnected:unix:/run/a,b,server=on") ==
        Chardev{Chardev::Kind::unix_socket, "/run/a,b", false});
  CHECK(parse_chardev("pty:/dev/pts/7") == Chardev{Chardev::Kind::pty, "/dev/pts/7", false});
}

TEST_CASE("a chardev that nobody can connect to has the kind other") {
  for (const char* filename :
       {"", "null", "file", "stdio", "unix:", "unix:/run/client",
        "disconnected:", "disconnected:tcp:127.0.0.1:4555,server=on", "disconnected:unix:name,abstract=on,server=on",
        "disconnected:unix:name,abstract=on,tight=on,server=on"})
    CHECK(parse_chardev(filename).kind == Chardev::Kind::other);
}

TEST_CASE("the first serial port is serial0, or else the first whose label contains serial") {
  CHECK(first_serial_port(Json::array({chardev("mon0", "m"), chardev("serial1", "b"), chardev("serial0", "a")})) ==
        "a");
  CHECK(first_serial_port(Json::array({chardev("serial0", "a"), chardev("charserial0", "b")})) == "a");
  CHECK(first_serial_port(Json::array({chardev("charserial1", "b"), chardev("charserial0", "a")})) == "a");
  CHECK(first_serial_port(Json::array({chardev("mon0", "m")})).empty());
  CHECK(first_serial_port(Json::array()).empty());
}
