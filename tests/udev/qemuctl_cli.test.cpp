// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// The command qemuctl with a service that has devices of umockdev's.
#include "api_host.hpp"
#include "catch.hpp"
#include "fake_qemu.hpp"
#include "program.hpp"

#include <qemuctl/json.hpp>

#include <asio/executor_work_guard.hpp>
#include <sys/stat.h>

#include <fstream>
#include <string>
#include <thread>
#include <vector>

using namespace hotplug;
using Catch::Matchers::ContainsSubstring;
using qemuctl::Json;
using test::FakeQemu;
using test::Program;

namespace {

/// A service with two VMs, one of which runs, and some devices; it works in a thread of its own.
class Service {
 public:
  Service() : vm1(host_.socket("vm1")) {
    host_.add_vm("vm1");
    host_.add_vm("vm2");
    host_.add_rule("Stick", "vm1").vms.push_back("vm2");
    host_.add_rule("Mouse", "vm2");
    std::ofstream(table()) << "table";
    AcpiRule& tables = host_.config.acpi_rules.emplace_back();
    tables.vm = "vm1";
    tables.allow.resize(1);
    tables.allow[0].file = table();
    host_.options.attach_connected = false;
    host_.host.plug(host_.root, 3, 1, 5, "Stick A");
    host_.host.plug(host_.root, 3, 2, 6, "Stick B\x1b[31m");
    host_.host.plug(host_.root, 3, 3, 7, "Keyboard");
    host_.host.add_pci("0000:01:00.0", "82574L");
    host_.host.add_input(2, 2, "AT keyboard", "platform-i8042-serio-0");
    host_.config.usb_rules[0].tag = "sticks";
    std::ofstream(token_file()) << "ops 0123456789abcdef\n";
    ::chmod(token_file().c_str(), 0600);
    host_.api.token_file = token_file();
    host_.api.transports.push_back("tcp");
    host_.start_api();
    thread_ = std::thread([this] {
      const auto work = asio::make_work_guard(host_.io);
      host_.io.restart();
      host_.io.run();
    });
  }
  ~Service() {
    host_.io.stop();
    thread_.join();
  }
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  std::vector<std::string> command(std::vector<std::string> words) const {
    std::vector<std::string> argv{QEMUCTL_CLI, "--socket", host_.api_path().string()};
    argv.insert(argv.end(), words.begin(), words.end());
    return argv;
  }
  test::Testbed& usb() { return host_.host; }
  const std::string& root() const { return host_.root; }
  std::string token_file() const { return (host_.dir / "tokens").string(); }
  std::string tcp() const { return "localhost:" + std::to_string(host_.server->tcp_port()); }
  std::string table() const { return (host_.dir / "SSDT.aml").string(); } ///< of vm1

 private:
  test::ApiHost host_;

 public:
  FakeQemu vm1;

 private:
  std::thread thread_;
};

/// What a run printed that is to end with that status.
std::string output_of(const std::vector<std::string>& argv, int status = 0) {
  Program program(argv);
  CHECK(program.wait_for_end() == status);
  INFO(program.errors());
  CHECK(program.errors().empty());
  return program.output();
}

std::string errors_of(const std::vector<std::string>& argv, int status = 1) {
  Program program(argv);
  CHECK(program.wait_for_end() == status);
  CHECK(program.output().empty());
  return program.errors();
}

} // namespace

TEST_CASE("qemuctl prints devices as a table that says where each is, where it may go, and why it is not there") {
  Service service;
  CHECK(output_of(service.command({"usb", "attach", "3-1", "vm1"})) == "3-1 046d:c52b Stick A is in VM vm1 now\n");
  service.usb().plug(service.root(), 3, 4, 8, "Mouse");
  Program listening(service.command({"usb", "list"}));
  CHECK(listening.wait_for_end() == 0);
  CHECK(listening.output() == "DEVICE  ID         NAME          VM   ALLOWED  STATE\n"
                              "3-1     046d:c52b  Stick A       vm1  vm1,vm2  attached\n"
                              "3-2     046d:c52b  Stick B?[31m  -    vm1,vm2  was plugged in before the service "
                              "started: attach it by hand, or start the service with -a\n"
                              "3-3     046d:c52b  Keyboard      -    -        stays with the host: no rule is for it\n"
                              "3-4     046d:c52b  Mouse         -    vm2      VM vm2: it does not run\n");
  const Json devices = qemuctl::parse_json(output_of(service.command({"--json", "usb", "list"})));
  CHECK(devices.size() == 4);
  CHECK(output_of(service.command({"usb", "list", "--names"})) == "3-1\n3-2\n3-3\n3-4\n");
  CHECK(output_of(service.command({"pci", "list"})) ==
        "DEVICE        ID         NAME    VM  ALLOWED  STATE\n"
        "0000:01:00.0  8086:10d3  82574L  -   -        stays with the host: no rule is for it\n");
  CHECK(output_of(service.command({"evdev", "list"})) ==
        "DEVICE             ID  NAME         VM  ALLOWED  STATE\n"
        "/dev/input/event2  -   AT keyboard  -   -        stays with the host: no rule is for it\n");
}

TEST_CASE("qemuctl accepts any name of a device, and lists the candidates if several match") {
  Service service;
  for (const char* name : {"stick a", "/dev/bus/usb/003/005", "3-1"}) {
    CHECK_THAT(output_of(service.command({"usb", "attach", name, "vm1"})), ContainsSubstring("in VM vm1"));
    CHECK(service.vm1.devices().size() == 1);
    CHECK(output_of(service.command({"--json", "usb", "detach", name})) == "{\"result\":\"ok\"}\n");
    CHECK(service.vm1.devices().empty());
  }
  CHECK(errors_of(service.command({"usb", "attach", "stick", "vm1"})) ==
        "qemuctl: \"stick\" could be:\n  3-1 046d:c52b Stick A\n  3-2 046d:c52b Stick B?[31m\n");
  CHECK_THAT(errors_of(service.command({"usb", "attach", "046D:C52B"})), ContainsSubstring("could be:"));
  CHECK_THAT(errors_of(service.command({"usb", "detach", "none"})),
             ContainsSubstring("there is no device \"none\"; there are:\n  3-1"));
  CHECK_THAT(errors_of(service.command({"usb", "attach", "stick a", "vm7"})),
             ContainsSubstring("the rules do not let it into VM \"vm7\""));
  // A person is asked; without a terminal the service decides.
  Program asking(service.command({"usb", "attach", "stick a"}), Program::Io::terminal);
  CHECK_THAT(asking.wait_for("Which VM? "), ContainsSubstring("1  vm1") && ContainsSubstring("2  vm2"));
  asking.type("vm7\n");
  asking.wait_for("Which VM? ");
  asking.type("1\n");
  asking.wait_for("is in VM vm1 now");
  CHECK(asking.wait_for_end() == 0);
  CHECK(output_of(service.command({"usb", "detach", "stick a"})).starts_with("3-1"));
  CHECK(output_of(service.command({"usb", "attach", "stick a"})) == "3-1 046d:c52b Stick A is in its VM now\n");
  CHECK(service.vm1.devices().size() == 1); // where it was last
}

TEST_CASE("qemuctl prints events with their time") {
  Service service;
  Program listening(service.command({"listen"}));
  listening.wait_for_error("listening to");
  CHECK_THAT(output_of(service.command({"usb", "attach", "3-1", "vm1"})), ContainsSubstring("now"));
  const std::string line = listening.read_line();
  CHECK(line.substr(8) == " usb_attached 3-1 046d:c52b Stick A: vm1");
  CHECK(line.at(2) == ':');
  service.usb().plug(service.root(), 3, 9, 9, "New");
  listening.wait_for("usb_connected 3-9 046d:c52b New");
}

TEST_CASE("qemuctl lists and controls VMs, through a service or their monitor") {
  Service service;
  CHECK(output_of(service.command({"vm", "list"})) == "VM   STATE     PID  MONITOR    DEVICES  PROBLEM\n"
                                                      "vm1  running   -    connected  0        -\n"
                                                      "vm2  shutdown  -    waiting    0        -\n");
  CHECK(output_of(service.command({"vm", "list", "--names"})) == "vm1\nvm2\n");
  CHECK(output_of(service.command({"vm", "pause", "vm1"})).empty());
  CHECK(service.vm1.count("stop") == 1);
  CHECK(output_of(service.command({"--json", "vm", "send-key", "vm1", "ctrl", "alt"})) == "{\"result\":\"ok\"}\n");
  CHECK(service.vm1.count("send-key") == 1);
  CHECK(output_of(service.command({"vm", "reset", "vm1"})).empty());
  CHECK(service.vm1.count("system_reset") == 1);
  CHECK(output_of(service.command({"vm", "shutdown", "vm1"})).empty());
  CHECK(service.vm1.count("system_powerdown") == 1);
  CHECK_THAT(output_of(service.command({"vm", "status", "vm1"})), ContainsSubstring("name: vm1\nstate: running\n"));
  CHECK_THAT(errors_of(service.command({"vm", "resume", "vm2"})), ContainsSubstring("does not run"));

  FakeQemu alone(service.vm1.socket().parent_path() / "alone.sock");
  const auto command = [&](std::vector<std::string> words) {
    words.insert(words.begin(), {QEMUCTL_CLI, "--vm-socket", alone.socket().string()});
    return words;
  };
  // It is warned that this is no real QEMU.
  const auto run = [&](std::vector<std::string> words) {
    Program program(command(std::move(words)));
    CHECK(program.wait_for_end() == 0);
    return program.output();
  };
  CHECK_THAT(run({"vm", "status"}), ContainsSubstring("name: alone\nstate: running\n"));
  CHECK(run({"vm", "pause"}).empty());
  CHECK(alone.count("stop") == 1);
  CHECK(run({"vm", "send-key", "ret"}).empty());
  CHECK(alone.count("send-key") == 1);
}

TEST_CASE("qemuctl explains where a device goes, and passes on the errors of the service") {
  Service service;
  CHECK_THAT(output_of(service.command({"explain", "3-3"})),
             ContainsSubstring("no rule matches: it stays with the host"));
  CHECK_THAT(output_of(service.command({"explain", "01:00.0"})), ContainsSubstring("82574L"));
  CHECK(output_of(service.command({"vmm-args", "vm1", "--bus-prefix", "rp", "--bus-start", "2"})) ==
        "-acpitable\nfile=" + service.table() + "\n");
  CHECK(output_of(service.command({"vmm-args", "vm2"})).empty());
  CHECK_THAT(errors_of(service.command({"vmm-args", "vm1", "--bus-prefix", "r,p"})),
             ContainsSubstring("qemu_bus_prefix"));
  CHECK_THAT(errors_of(service.command({"reload"})), ContainsSubstring("there is no file to reload"));
}

TEST_CASE("qemuctl lists devices by tag, and those that were detached") {
  Service service;
  CHECK(output_of(service.command({"usb", "list", "--names", "--tag", "sticks"})) == "3-1\n3-2\n");
  CHECK(output_of(service.command({"usb", "list", "--names", "--tag", "none"})).empty());
  CHECK(output_of(service.command({"usb", "list", "--names", "--disconnected"})).empty());
}

TEST_CASE("qemuctl presents a token from a file or the environment to a service that requires one") {
  Service service;
  const auto words = [&](std::vector<std::string> before, std::vector<std::string> more) {
    before.insert(before.end(), {QEMUCTL_CLI, "--tcp", service.tcp()});
    before.insert(before.end(), more.begin(), more.end());
    return before;
  };
  CHECK_THAT(errors_of(words({}, {"usb", "list"})), ContainsSubstring("you have not presented a token"));
  CHECK(output_of(words({}, {"--token-file", service.token_file(), "usb", "list", "--names"})) == "3-1\n3-2\n3-3\n");
  const std::string env = "/usr/bin/env";
  CHECK(output_of(words({env, "QEMUCTL_TOKEN=0123456789abcdef"}, {"usb", "list", "--names"})) == "3-1\n3-2\n3-3\n");
  CHECK_THAT(errors_of(words({env, "QEMUCTL_TOKEN=0123456789abcdee"}, {"usb", "list"})),
             ContainsSubstring("the token is not known"));
}

TEST_CASE("qemuctl reports what suspend, resume and reload have done") {
  Service service;
  CHECK(output_of(service.command({"usb", "attach", "3-1", "vm1"})) == "3-1 046d:c52b Stick A is in VM vm1 now\n");
  CHECK(output_of(service.command({"usb", "suspend", "vm1"})) ==
        "the USB devices of VM vm1 are detached until they are resumed\n");
  CHECK(service.vm1.devices().empty());
  CHECK(output_of(service.command({"usb", "resume", "vm1"})) == "the USB devices of VM vm1 are back\n");
  CHECK(service.vm1.devices().size() == 1);
  CHECK(output_of(service.command({"pci", "suspend"})) ==
        "the PCI devices of all VMs are detached until they are resumed\n");
  CHECK(output_of(service.command({"--json", "evdev", "resume"})) == "{\"result\":\"ok\"}\n");
  CHECK(output_of(service.command({"usb", "detach", "3-1"})).starts_with("3-1"));
  CHECK(output_of(service.command({"usb", "list", "--names", "--disconnected"})) == "3-1\n");
}

TEST_CASE("qemuctl prints its usage, and exits with 2 after a usage error") {
  using Words = std::vector<std::string>;
  for (const Words& words :
       {Words{}, Words{"usb"}, Words{"usb", "attach"}, Words{"usb", "attach", "a", "--tag", "b"}, Words{"nonsense"},
        Words{"vm", "status"}, Words{"vm", "screenshot", "a"}, Words{"vm", "send-key", "a"}, Words{"vm", "start"},
        Words{"--tcp", "x:y", "listen"}, Words{"--socket", "a", "--vsock", "2", "listen"},
        Words{"--pid", "1", "listen"}, Words{"--pid", "1", "vm", "start"}, Words{"--pid", "1", "vm", "status", "a"}}) {
    Words argv = words;
    argv.insert(argv.begin(), QEMUCTL_CLI);
    CHECK_THAT(errors_of(argv, 2), ContainsSubstring("Run with --help for more information."));
  }
  CHECK_THAT(output_of({QEMUCTL_CLI, "--help"}), ContainsSubstring("DEVICE is a node"));
  CHECK_THAT(output_of({QEMUCTL_CLI, "--version"}), ContainsSubstring("qemuctl "));
  CHECK_THAT(errors_of({QEMUCTL_CLI, "--socket", "/no/such/socket", "usb", "list"}),
             ContainsSubstring("/no/such/socket: there is no such socket") && ContainsSubstring("Is qemuctl-hotplugd"));
}
