// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "golden.hpp"
#include "program.hpp"
#include "temp_dir.hpp"

#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

using Catch::Matchers::ContainsSubstring;
using test::Program;

namespace {

std::vector<std::string> service(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), QEMUCTL_HOTPLUGD);
  return arguments;
}

} // namespace

TEST_CASE("qemuctl-hotplugd checks the example of a configuration") {
  const std::string file = (test::source_dir() / "examples/hotplug.json").string();
  Program program(service({"--check", "-c", file}));
  CHECK(program.wait_for_end() == 0);
  CHECK(program.output() == file + ": good: 1 VM, 1 USB rule, 1 PCI rule, 1 input rule\n");
  CHECK(program.errors().empty());
}

TEST_CASE("qemuctl-hotplugd tells all that is wrong with a configuration, and exits with 2") {
  const test::TempDir dir;
  std::ofstream(dir / "wrong.json")
      << R"({"vms": [{"name": "a", "sockt": "/a"}], "usbPassthrough": [{"targetVm": "a", "allow": [{"vendorId": "zz"}]}]})";
  for (const char* check : {"--check", "-d"}) {
    Program program(service({check, "-c", (dir / "wrong.json").string()}));
    CHECK(program.wait_for_end() == 2);
    CHECK_THAT(program.errors(), ContainsSubstring("vms[0].sockt: unknown key; did you mean \"socket\"?"));
    CHECK_THAT(program.errors(), ContainsSubstring("usbPassthrough[0].allow[0].vendorId: found \"zz\""));
    CHECK(program.output().empty());
  }
}

TEST_CASE("qemuctl-hotplugd says how it is used, and exits with 2 when it is used otherwise") {
  using Arguments = std::vector<std::string>;
  for (const Arguments& arguments : {Arguments{}, Arguments{"-c", "a", "--pid", "1"}, Arguments{"--pid", "1"},
                                     Arguments{"--pid", "x", "--rules", "a"},
                                     Arguments{"-c", "a", "--check", "--explain", "1-1"}, Arguments{"--nonsense"}}) {
    Program program(service(arguments));
    CHECK(program.wait_for_end() == 2);
    CHECK_THAT(program.errors(), ContainsSubstring("Run with --help for more information."));
  }
  Program help(service({"--help"}));
  CHECK(help.wait_for_end() == 0);
  CHECK_THAT(help.output(), ContainsSubstring("--explain"));
}

TEST_CASE("names with control characters make no lines of their own in the log of qemuctl-hotplugd") {
  const test::TempDir dir;
  std::ofstream(dir / "hotplug.json") << R"({"general": {"persistency": false},
    "vms": [{"name": "a\naudit: user 0 on unix: usb_attach {}: done", "pid": 4194305}]})";
  Program program(service({"-c", (dir / "hotplug.json").string()}));
  program.wait_for_error("has ended");
  CHECK(program.wait_for_end() == 0);
  CHECK_THAT(program.errors(), ContainsSubstring("VM a?audit: user 0") && !ContainsSubstring("\naudit:"));
}

TEST_CASE("a request to reload takes permissions away, and names what takes a restart") {
  const test::TempDir dir;
  const auto configure = [&](const std::string& may, const std::string& more) {
    const std::string config = R"({"general": {"persistency": false, )" + more + R"("api": {"enable": true,
      "transports": ["unix"], "unixSocket": ")" +
                               (dir / "api.sock").string() + R"(", "permissions": [{"who": {"uid": )" +
                               std::to_string(::getuid()) + R"(}, "may": ")" + may +
                               R"("}]}}, "vms": [{"name": "a", "socket": ")" + (dir / "a.sock").string() + "\"}]}";
    // At once, so that the service never reads half of it.
    std::ofstream(dir / "new.json") << config;
    std::filesystem::rename(dir / "new.json", dir / "hotplug.json");
  };
  const auto reload = [&](int status) {
    Program program({QEMUCTL_CLI, "--json", "--socket", (dir / "api.sock").string(), "reload"});
    CHECK(program.wait_for_end() == status);
    return program.output() + program.errors();
  };
  configure("admin", "");
  Program program(service({"-c", (dir / "hotplug.json").string()}));
  program.wait_for_error("serving 1 VM,");
  CHECK(reload(0) == "{\"result\":\"ok\"}\n");
  configure("read", R"("statePath": "/other", "ovmfCode": "/code", )");
  program.wait_for_error("general.ovmfCode: take effect when the service is started again");
  program.wait_for_error("general.statePath: take effect");
  CHECK_THAT(reload(1), ContainsSubstring(R"(the level \"admin\")") || ContainsSubstring(R"(the level "admin")"));
  program.send_signal(SIGTERM);
  CHECK(program.wait_for_end() == 0);
}

TEST_CASE("qemuctl-hotplugd refuses a PID that is no QEMU's, and rules that are not there") {
  const std::string rules = (test::source_dir() / "examples/usb-rules.json").string();
  Program no_qemu(service({"--pid", "1", "--rules", rules}));
  CHECK(no_qemu.wait_for_end() == 2);
  CHECK_THAT(no_qemu.errors(), ContainsSubstring("process 1"));
  Program no_file(service({"-c", "/no/such/file"}));
  CHECK(no_file.wait_for_end() == 2);
  CHECK_THAT(no_file.errors(), ContainsSubstring("/no/such/file"));
}
