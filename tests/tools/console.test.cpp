// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// `qemuctl-run --console`: on a terminal, and between pipes as a script uses it.
#include "catch.hpp"
#include "program.hpp"
#include "server.hpp"
#include "vm_folder.hpp"

#include <qemuctl/json.hpp>

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

using Catch::Matchers::ContainsSubstring;
using qemuctl::Json;
using test::Program;
using test::VmFolder;
using namespace std::chrono_literals;

namespace {

constexpr const char* ctrl_c = "\x03";
constexpr const char* leave_key = "\x1d"; // Ctrl-]
constexpr const char* prompt = "demo# ";

std::vector<std::string> console(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), QEMUCTL_RUN);
  arguments.emplace_back("--console");
  return arguments;
}

bool same_settings(const termios& a, const termios& b) {
  return a.c_iflag == b.c_iflag && a.c_oflag == b.c_oflag && a.c_cflag == b.c_cflag && a.c_lflag == b.c_lflag;
}

int read_pid(std::string text) {
  const std::size_t at = text.find("pid: ");
  REQUIRE(at != std::string::npos);
  return std::stoi(text.substr(at + 5));
}

} // namespace

QEMU_TEST_CASE("the console is interactive, and after the leave key Ctrl-C works as usual") {
  VmFolder folder(qemu, VmFolder::Guest::demo);
  Program program(console({folder.vm_file()}), Program::Io::terminal);
  const termios before = program.terminal_settings();
  program.wait_for("pid: ");
  const std::string pid = program.read_line();
  program.wait_for("connected to the serial port of vm; leave with Ctrl-]");
  program.wait_for("qemuctl-demo: up");
  program.wait_for_raw_mode(true);
  program.wait_for(prompt);

  // The port serves one client, while the public monitor is free: a second client gets a clear error.
  Program second(console({"--attach-pid", std::to_string(std::stoi(pid))}));
  CHECK(second.wait_for_end() == 1);
  CHECK_THAT(second.errors(), ContainsSubstring("another client uses it"));

  program.type("echo $((6*7))\r");
  program.wait_for("\n42\r\n");
  program.wait_for(prompt);
  // While the console is connected, Ctrl-C goes to the guest and interrupts what runs there.
  program.type("sh -c 'echo sleep''ing; exec sleep 1000'\r");
  program.wait_for("\nsleeping\r\n");
  program.type(ctrl_c);
  program.wait_for(prompt);
  CHECK_THAT(program.output(), !ContainsSubstring("asking"));

  program.type(leave_key);
  program.wait_for("left the console");
  program.wait_for_raw_mode(false);
  CHECK(same_settings(before, program.terminal_settings()));

  program.type(ctrl_c);
  program.wait_for("asking vm to shut down");
  program.wait_for("state: shutdown");
  CHECK(program.wait_for_end() == 0);
  CHECK(folder.vms().empty());
}

QEMU_TEST_CASE("a guest that powers itself off ends the run with 0, and the terminal is restored") {
  VmFolder folder(qemu, VmFolder::Guest::demo);
  Program program(console({folder.vm_file()}), Program::Io::terminal);
  const termios before = program.terminal_settings();
  program.wait_for(prompt);
  program.type("poweroff\r");
  program.wait_for("state: shutdown");
  CHECK(program.wait_for_end() == 0);
  CHECK(same_settings(before, program.terminal_settings()));
}

QEMU_TEST_CASE("SIGTERM during a console session shuts the guest down and restores the terminal") {
  VmFolder folder(qemu, VmFolder::Guest::demo);
  Program program(console({folder.vm_file()}), Program::Io::terminal);
  const termios before = program.terminal_settings();
  program.wait_for(prompt);
  program.send_signal(SIGTERM);
  // In raw mode our own lines start and end with a carriage return, so they are not staggered.
  program.wait_for("\r\nqemuctl-run: asking vm to shut down; press Ctrl-C again to force it\r\n");
  program.wait_for("qemuctl-demo: power button pressed");
  CHECK(program.wait_for_end() == 0);
  CHECK(same_settings(before, program.terminal_settings()));
}

QEMU_TEST_CASE("the terminal is restored when QEMU is killed") {
  VmFolder folder(qemu);
  Program program(console({folder.vm_file()}), Program::Io::terminal);
  const termios before = program.terminal_settings();
  const int pid = read_pid(program.wait_for("state: running"));
  program.wait_for_raw_mode(true);
  REQUIRE(::kill(pid, SIGKILL) == 0);
  program.wait_for("state: crashed");
  CHECK(program.wait_for_end() == 1);
  CHECK(same_settings(before, program.terminal_settings()));
}

QEMU_TEST_CASE("the option --console adds a serial port to a VM that has no usable one") {
  VmFolder folder(qemu);
  Program program(console({folder.vm_file(), "-v"}));
  program.wait_for_error("added a serial port for the console");
  program.wait_for_error("connected to the serial port");
  program.send_signal(SIGTERM);
  program.wait_for_error("asking");
  program.send_signal(SIGTERM);
  CHECK(program.wait_for_end() == 3);
}

QEMU_TEST_CASE("between pipes the guest's output goes to stdout, and the end of stdin ends nothing") {
  VmFolder folder(qemu, VmFolder::Guest::demo);
  Program program(console({folder.vm_file(), "-v"}));
  program.type("echo $((6*7))\r");
  program.close_input();
  program.wait_for("qemuctl-demo: up");
  program.wait_for_error("state: running");
  // As a script does: it has seen what it waited for, so the VM may end.
  program.send_signal(SIGTERM);
  program.wait_for_error("event: POWERDOWN");
  program.wait_for("qemuctl-demo: power button pressed");
  program.wait_for_error("state: shutdown");
  CHECK(program.wait_for_end() == 0);
  for (const char* ours : {"state: ", "event: ", "qemuctl-run", "name: "})
    CHECK_THAT(program.output(), !ContainsSubstring(ours));
}

QEMU_TEST_CASE("with --attach-pid the console finds the serial port, and leaving it leaves the guest alone") {
  VmFolder folder(qemu, VmFolder::Guest::demo);
  Program launcher({QEMUCTL_RUN, folder.vm_file(), "--detach"});
  REQUIRE(launcher.wait_for_end() == 0);
  const int pid = read_pid(launcher.output());

  Program program(console({"--attach-pid", std::to_string(pid)}), Program::Io::terminal);
  const termios before = program.terminal_settings();
  program.wait_for("leave with Ctrl-]");
  program.wait_for("qemuctl-demo: up");
  program.wait_for(prompt);

  // The monitor serves one client: a second gets an error and does not hang.
  Program second(console({"--attach-pid", std::to_string(pid)}));
  CHECK(second.wait_for_end() == 1);
  CHECK_THAT(second.errors(), ContainsSubstring("qemuctl-run") && ContainsSubstring(std::to_string(program.pid())));

  program.type(leave_key);
  CHECK(program.wait_for_end() == 0);
  CHECK(same_settings(before, program.terminal_settings()));
  CHECK(::kill(pid, 0) == 0);
  CHECK(folder.vms() == std::vector<int>{pid});
}

QEMU_TEST_CASE("the console of a guest that reads nothing can be left like any other") {
  VmFolder folder(qemu);
  Program program(console({folder.vm_file()}), Program::Io::terminal);
  const int pid = read_pid(program.wait_for("state: running"));
  program.wait_for_raw_mode(true);
  REQUIRE(::kill(pid, SIGSTOP) == 0);
  program.type(std::string(2 * 1024 * 1024, 'x')); // more than is buffered
  program.wait_for("the guest does not read what you type; it is dropped");
  program.type(leave_key);
  program.wait_for("left the console");
  program.wait_for_raw_mode(false);
  REQUIRE(::kill(pid, SIGCONT) == 0);
}

QEMU_TEST_CASE("a run that was stopped and continued sets raw mode again") {
  VmFolder folder(qemu);
  Program program(console({folder.vm_file()}), Program::Io::terminal);
  const termios before = program.terminal_settings();
  program.wait_for("state: running");
  program.wait_for_raw_mode(true);
  program.change_terminal_settings(before); // as a shell does for a stopped job
  program.send_signal(SIGCONT);
  program.wait_for_raw_mode(true);
}

QEMU_TEST_CASE("Ctrl-C after the VM has ended changes nothing but stops waiting for a stuck reader") {
  VmFolder folder(qemu, VmFolder::Guest::demo);
  Program program(console({folder.vm_file()}));
  program.wait_for_error("pid: ");
  const int pid = std::stoi(program.read_error_line());
  program.wait_for(prompt);
  program.type("yes 0123456789012345678901234567890123456789\r");
  program.stop_reading();
  REQUIRE(::kill(pid, SIGTERM) == 0);
  const auto begin = std::chrono::steady_clock::now();
  while (::kill(pid, 0) == 0) // until it was waited for, after which there are 5 s for the rest of the output
    std::this_thread::sleep_for(1ms);
  program.send_signal(SIGINT);
  program.wait_for_error("state: shutdown");
  CHECK(program.wait_for_end() == 0);
  CHECK(std::chrono::steady_clock::now() - begin < 5s);
  CHECK_THAT(program.errors(), !ContainsSubstring("asking"));
}

QEMU_TEST_CASE("a stuck reader of the guest's output does not block anything else") {
  VmFolder folder(qemu, VmFolder::Guest::demo);
  Program program(console({folder.vm_file()}));
  program.wait_for_error("pid: ");
  const int pid = std::stoi(program.read_error_line());
  program.wait_for(prompt);
  program.wait_for_error("state: running");
  program.type("yes 0123456789012345678901234567890123456789\r");
  program.stop_reading();
  program.send_signal(SIGTERM);
  program.wait_for_error("asking vm to shut down");
  REQUIRE(::kill(pid, SIGKILL) == 0);
  program.wait_for_error("state: crashed");
  CHECK(program.wait_for_end() == 1);
}

QEMU_TEST_CASE("the option --console does not use a serial port that connects to somebody else, and adds one") {
  VmFolder folder(qemu);
  const std::string path = folder.path("theirs.sock");
  const qemuctl::FileDescriptor listener = test::listen_on(path);
  const Json port = Json::object({{"type", "socket"}, {"path", path}, {"server", false}});
  folder.config.set("serials", Json::array({port}));
  Program program(console({folder.vm_file(), "-v"}));
  program.wait_for_error("added a serial port for the console");
  program.wait_for_error("connected to the serial port");
  program.send_signal(SIGTERM);
  program.wait_for_error("asking");
  program.send_signal(SIGTERM);
  CHECK(program.wait_for_end() == 3);
}
