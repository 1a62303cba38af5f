// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <qemuctl/error.hpp>
#include <qemuctl/monitor_address.hpp>

#include <string>

using namespace qemuctl;
using namespace std::string_literals;
using Catch::Matchers::Equals;

TEST_CASE("Monitor addresses are parsed from text and formatted back") {
  const auto [text, address, written] = GENERATE(table<std::string, MonitorAddress, std::string>({
      {"/run/qemu/demo.sock", UnixPath{"/run/qemu/demo.sock"}, "/run/qemu/demo.sock"},
      {"demo.sock", UnixPath{"demo.sock"}, "demo.sock"},
      {"a:b", UnixPath{"a:b"}, "a:b"},
      {"unix:/run/x,y", UnixPath{"/run/x,y"}, "/run/x,y"},
      {"unix:@x", UnixPath{"@x"}, "unix:@x"},
      {"unix:tcp:x:1", UnixPath{"tcp:x:1"}, "unix:tcp:x:1"},
      {"unix:unix:x", UnixPath{"unix:x"}, "unix:unix:x"},
      {"@demo", UnixAbstract{"demo"}, "@demo"},
      {"@@", UnixAbstract{"@"}, "@@"},
      {"@a\0b"s, UnixAbstract{"a\0b"s}, "@a\0b"s},
      {"@demo,tight=off", UnixAbstract{"demo", false}, "@demo,tight=off"},
      {"tcp:localhost:4444", TcpAddress{"localhost", 4444}, "tcp:localhost:4444"},
      {"tcp:127.0.0.1:1", TcpAddress{"127.0.0.1", 1}, "tcp:127.0.0.1:1"},
      {"tcp:[::1]:65535", TcpAddress{"::1", 65535}, "tcp:[::1]:65535"},
      {"tcp:[fe80::1%eth0]:80", TcpAddress{"fe80::1%eth0", 80}, "tcp:[fe80::1%eth0]:80"},
      {"tcp:[host]:80", TcpAddress{"host", 80}, "tcp:host:80"},
  }));
  CAPTURE(text);
  CHECK(parse_monitor_address(text) == address);
  CHECK_THAT(to_string(address), Equals(written));
  CHECK(parse_monitor_address(to_string(address)) == address);
}

TEST_CASE("A text that is not a monitor address is rejected with the reason") {
  const auto [text, reason] = GENERATE(table<std::string, std::string>({
      {"", "it is empty"},
      {"unix:", "the path is empty"},
      {"/a\0b"s, "the path contains a NUL byte"},
      {"@", "the name is empty"},
      {"@,tight=off", "the name is empty"},
      {"tcp:", "the port is missing"},
      {"tcp:localhost", "the port is missing"},
      {"tcp::4444", "the host is missing"},
      {"tcp:[]:4444", "the host is missing"},
      {"tcp:a\0b:1"s, "the host contains a NUL byte"},
      {"tcp:::1:4444", "an IPv6 address needs brackets: tcp:[::1]:4444"},
      {"tcp:[::1]", "\"]:\" and a port are missing after the IPv6 address"},
      {"tcp:[::1:4444", "\"]:\" and a port are missing after the IPv6 address"},
      {"tcp:host:", "the port is not a number from 1 to 65535"},
      {"tcp:host:0", "the port is not a number from 1 to 65535"},
      {"tcp:host:65536", "the port is not a number from 1 to 65535"},
      {"tcp:host:-1", "the port is not a number from 1 to 65535"},
      {"tcp:host:80x", "the port is not a number from 1 to 65535"},
      {"tcp:host:4444,server=on", "the port is not a number from 1 to 65535"},
  }));
  CAPTURE(text);
  try {
    parse_monitor_address(text);
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK(error.code() == errc::invalid_argument);
    CHECK_THAT(error.diagnostics().detail, Equals(reason));
    CHECK(error.diagnostics().subject == text);
  }
}
