// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "golden.hpp"
#include "program.hpp"
#include "socket_tables.hpp"
#include "temp_dir.hpp"
#include "vm_folder.hpp"

#include <qemuctl/blocking.hpp>

#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

using Catch::Matchers::ContainsSubstring;
using test::Program;
using test::VmFolder;
using namespace std::chrono_literals;

namespace {

constexpr const char* ctrl_c = "\x03";

std::vector<std::string> qemuctl_run(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), QEMUCTL_RUN);
  return arguments;
}

/// Reads the first lines of a run, which say what it follows, and returns the PID.
int read_introduction(Program& program) {
  program.wait_for("name: vm");
  program.wait_for("pid: ");
  const int pid = std::stoi(program.read_line());
  program.wait_for("socket: ");
  return pid;
}

/// A VM that was left running, for the cases about attaching.
int start_detached(const VmFolder& folder) {
  Program program(qemuctl_run({folder.vm_file(), "--detach"}));
  REQUIRE(program.wait_for_end() == 0);
  const auto vms = folder.vms();
  REQUIRE(vms.size() == 1);
  return vms.front();
}

bool runs(int pid) {
  return ::kill(pid, 0) == 0;
}

} // namespace

TEST_CASE("the options --help and --version print to stdout and exit with 0") {
  Program help(qemuctl_run({"--help"}));
  CHECK(help.wait_for_end() == 0);
  for (const char* word : {"vm.json", "--check", "--dry-run", "--detach", "--name", "--console", "--verbose",
                           "--attach-pid", "--attach", "Ctrl-]", "Exit status"})
    CHECK_THAT(help.output(), ContainsSubstring(word));
  CHECK(help.errors().empty());

  Program version(qemuctl_run({"--version"}));
  CHECK(version.wait_for_end() == 0);
  CHECK_THAT(version.output(), ContainsSubstring("qemuctl-run 0."));
}

TEST_CASE("a usage error exits with 2, says what is wrong and points to --help") {
  const std::vector<std::vector<std::string>> wrong = {
      {},
      {"--nonsense"},
      {"a.json", "b.json"},
      {"vm.json", "--attach-pid", "1"},
      {"--attach-pid", "0"},
      {"--attach-pid", "x"},
      {"--attach-pid", "1", "--attach", "/x"},
      {"--attach", "/x", "--detach"},
      {"--attach", "/x", "--dry-run"},
      {"--attach", "/x", "--check"},
      {"vm.json", "--check", "--console"},
      {"--attach", "/x", "--name", "x"},
      {"vm.json", "--detach", "--dry-run"},
      {"vm.json", "--detach", "--console"},
  };
  for (const auto& arguments : wrong) {
    Program program(qemuctl_run(arguments));
    CHECK(program.wait_for_end() == 2);
    CHECK(program.output().empty());
    CHECK_THAT(program.errors(), ContainsSubstring("qemuctl-run: ") && ContainsSubstring("--help"));
  }
}

TEST_CASE("a vm.json that is missing or invalid exits with 2 and names the file or the value") {
  test::TempDir folder;
  Program missing(qemuctl_run({(folder / "none.json").string()}));
  CHECK(missing.wait_for_end() == 2);
  CHECK_THAT(missing.errors(), ContainsSubstring("qemuctl-run: cannot ") && ContainsSubstring("none.json"));

  std::ofstream(folder / "bad.json") << R"({"memori": {"sizeMib": 128}})";
  Program bad(qemuctl_run({(folder / "bad.json").string()}));
  CHECK(bad.wait_for_end() == 2);
  CHECK_THAT(bad.errors(), ContainsSubstring("memori") && ContainsSubstring("memory"));
  CHECK(bad.output().empty());
}

TEST_CASE("a bad monitor address exits with 2, and a missing monitor with 1") {
  Program bad(qemuctl_run({"--attach", "tcp:localhost"}));
  CHECK(bad.wait_for_end() == 2);

  test::TempDir folder;
  Program missing(qemuctl_run({"--attach", (folder / "none.sock").string()}));
  CHECK(missing.wait_for_end() == 1);
  CHECK_THAT(missing.errors(), ContainsSubstring("none.sock"));
}

TEST_CASE("the option --attach-pid of a process that is not a QEMU exits with 1") {
  Program program(qemuctl_run({"--attach-pid", std::to_string(::getpid())}));
  CHECK(program.wait_for_end() == 1);
  CHECK_THAT(program.errors(), ContainsSubstring(std::to_string(::getpid())));
}

QEMU_TEST_CASE("the option --check reports every error, exits with 2, and starts nothing") {
  const test::TempDir folder;
  const std::string file = folder / "vm.json";
  const auto check = [&](const std::string& vm) {
    test::write_file(file, vm);
    Program program(qemuctl_run({file, "--check"}));
    const int status = program.wait_for_end();
    return std::pair(status, program.output() + program.errors());
  };
  const std::string general = fmt::format(R"("qemuPath": "{}", "kvm": false, "socketDir": "run")", qemu.string());
  const auto [good, said] = check("{" + general + "}");
  CHECK(good == 0);
  CHECK_THAT(said, ContainsSubstring(file + ": VM vm can be launched with " + qemu.string()));

  const auto [bad, problems] = check("{" + general + R"(, "disks": [{"backend": {"type": "file", "path": "none.img"}}],
    "boot": {"kernel": "none"}, "display": {"video": "nosuch"}, "hotplug": {"pciePorts": 2}, "machine": "pc"})");
  CHECK(bad == 2);
  for (const char* problem :
       {"4 problems", "disks[0].backend.path: ", "boot.kernel: ", "display.video.type: ", "hotplug.pciePorts: "})
    CHECK_THAT(problems, ContainsSubstring(problem));

  const auto [syntax, place] = check("{\n  \"name\" 1}");
  CHECK(syntax == 2);
  CHECK_THAT(place, ContainsSubstring(file + ":2:10: "));
  CHECK_FALSE(std::filesystem::exists(folder / "run"));
}

TEST_CASE("a missing disk image exits with 2, before anything is started") {
  const test::TempDir folder;
  test::write_file(folder / "vm.json", R"({"kvm": false, "socketDir": "run", "drives": [{"file": "none.img"}]})");
  for (const char* option : {"-v", "--dry-run", "--detach"}) {
    Program program(qemuctl_run({folder / "vm.json", option}));
    CHECK(program.wait_for_end() == 2);
    CHECK_THAT(program.errors(), ContainsSubstring((folder / "none.img").string() + ": No such file or directory"));
  }
  CHECK_FALSE(std::filesystem::exists(folder / "run"));
}

QEMU_TEST_CASE("a VM that cannot start exits with 1 and quotes QEMU") {
  VmFolder folder(qemu);
  folder.config.set("extraArgs", qemuctl::Json::array({"-device", "no-such-device"}));
  Program program(qemuctl_run({folder.vm_file()}));
  CHECK(program.wait_for_end() == 1);
  CHECK_THAT(program.errors(), ContainsSubstring("no-such-device"));
  CHECK(folder.vms().empty());
}

QEMU_TEST_CASE("Ctrl-C asks the guest to shut down, and if it does the status is 0") {
  VmFolder folder(qemu, VmFolder::Guest::demo);
  Program program(qemuctl_run({folder.vm_file()}), Program::Io::terminal);
  const int pid = read_introduction(program);
  program.wait_for("state: running");
  Program guest(qemuctl_run({"--attach-pid", std::to_string(pid), "--console"}));
  guest.wait_for("qemuctl-demo: up");
  program.type(ctrl_c);
  program.wait_for("asking vm to shut down; press Ctrl-C again to force it");
  program.wait_for("state: shutdown");
  CHECK(program.wait_for_end() == 0);
  CHECK(guest.wait_for_end() == 0);
  CHECK(folder.vms().empty());
}

QEMU_TEST_CASE("a second Ctrl-C forces a guest that ignores the first, and the status is 3") {
  VmFolder folder(qemu);
  Program program(qemuctl_run({folder.vm_file()}), Program::Io::terminal);
  const int pid = read_introduction(program);
  program.wait_for("state: running");
  program.type(ctrl_c);
  program.wait_for("press Ctrl-C again to force it");
  CHECK(runs(pid));
  program.type(ctrl_c);
  program.wait_for("forcing vm");
  CHECK(program.wait_for_end() == 3);
  test::wait_until_gone(pid);
  CHECK(folder.vms().empty());
}

QEMU_TEST_CASE("a stuck QEMU is killed by the third Ctrl-C") {
  VmFolder folder(qemu);
  Program program(qemuctl_run({folder.vm_file()}), Program::Io::terminal);
  const int pid = read_introduction(program);
  program.wait_for("state: running");
  REQUIRE(::kill(pid, SIGSTOP) == 0);
  for (const char* answer : {"asking vm", "forcing vm", "killing vm"}) {
    program.type(ctrl_c);
    program.wait_for(answer);
  }
  CHECK(program.wait_for_end() == 3);
  test::wait_until_gone(pid);
}

QEMU_TEST_CASE("Ctrl-C ends a QEMU that stays after its guest has shut down") {
  VmFolder folder(qemu);
  folder.config.set("extraArgs", qemuctl::Json::array({"-action", "shutdown=pause,reboot=shutdown"}));
  Program program(qemuctl_run({folder.vm_file()}), Program::Io::terminal);
  const int pid = read_introduction(program);
  program.wait_for("state: running");
  // How a guest reboots, which shuts down here.
  qemuctl::blocking::Instance::attach(qemuctl::UnixPath{folder.socket()}).human_monitor_command("o/b 0xcf9 6");
  program.wait_for("state: shutdown");
  CHECK(runs(pid));
  program.type(ctrl_c);
  program.wait_for("the guest of vm has ended; ending QEMU");
  CHECK(program.wait_for_end() == 0);
  test::wait_until_gone(pid);
}

QEMU_TEST_CASE("Ctrl-C while the VM is already ending changes nothing and is not an error") {
  VmFolder folder(qemu);
  Program program(qemuctl_run({folder.vm_file()}), Program::Io::terminal);
  const int pid = read_introduction(program);
  program.wait_for("state: running");
  REQUIRE(::kill(pid, SIGTERM) == 0);
  program.type(ctrl_c); // somewhere between QEMU's decision to end and the end of the run
  program.wait_for("state: shutdown");
  CHECK(program.wait_for_end() == 0);
  CHECK_THAT(program.output(), !ContainsSubstring("cannot"));
}

QEMU_TEST_CASE("SIGTERM and SIGHUP ask the guest to shut down, and a second SIGHUP does not force it") {
  VmFolder folder(qemu);
  Program program(qemuctl_run({folder.vm_file(), "-v"}));
  const int pid = read_introduction(program);
  program.wait_for("state: running");
  program.send_signal(SIGHUP);
  program.wait_for("event: POWERDOWN");
  program.send_signal(SIGHUP);
  // Something else noticed after the signal: by then the signal has had its effect, if any.
  qemuctl::blocking::Instance::attach(qemuctl::UnixPath{folder.socket()}).pause();
  program.wait_for("state: paused");
  CHECK_THAT(program.errors(), !ContainsSubstring("forcing"));
  program.send_signal(SIGTERM);
  program.wait_for_error("forcing vm");
  CHECK(program.wait_for_end() == 3);
  test::wait_until_gone(pid);
}

QEMU_TEST_CASE("a run whose QEMU is killed exits with 1, says so, and says where QEMU's output is") {
  const bool talks = GENERATE(false, true);
  VmFolder folder(qemu);
  if (talks) folder.config.set("extraArgs", qemuctl::Json::array({"-d", "cpu_reset"}));
  Program program(qemuctl_run({folder.vm_file()}));
  const int pid = read_introduction(program);
  program.wait_for("state: running");
  REQUIRE(::kill(pid, SIGKILL) == 0);
  program.wait_for("state: crashed (");
  CHECK(program.wait_for_end() == 1);
  CHECK_THAT(program.errors(),
             ContainsSubstring("qemuctl-run: vm has crashed or was killed") && ContainsSubstring("signal 9"));
  CHECK((program.errors().find("what QEMU said is in") != std::string::npos) == talks);
  CHECK((program.errors().find("vm.log") != std::string::npos) == talks);
}

QEMU_TEST_CASE("the option --detach prints three lines and leaves the VM running, and --attach-pid follows it and "
               "leaves it alone") {
  VmFolder folder(qemu);
  Program launcher(qemuctl_run({folder.vm_file(), "--detach"}));
  CHECK(launcher.wait_for_end() == 0);
  const auto vms = folder.vms();
  REQUIRE(vms.size() == 1);
  const int pid = vms.front();
  CHECK(launcher.output() == "name: vm\npid: " + std::to_string(pid) + "\nsocket: " + folder.socket() + "\n");

  for (const auto& target : {std::vector<std::string>{"--attach-pid", std::to_string(pid)},
                             std::vector<std::string>{"--attach", folder.socket()}}) {
    Program follower(qemuctl_run(target), Program::Io::terminal);
    CHECK(read_introduction(follower) == pid);
    follower.wait_for("state: running");
    follower.type(ctrl_c);
    CHECK(follower.wait_for_end() == 0);
    CHECK(runs(pid));
  }

  Program follower(qemuctl_run({"--attach-pid", std::to_string(pid)}));
  follower.wait_for("state: running");
  REQUIRE(::kill(pid, SIGTERM) == 0); // which QEMU takes as a request to exit, so this is no failure
  follower.wait_for("state: shutdown");
  CHECK(follower.wait_for_end() == 0);
  test::wait_until_gone(pid);
}

QEMU_TEST_CASE("several signals at once end a run like one") {
  VmFolder folder(qemu);
  const int pid = start_detached(folder);
  Program follower(qemuctl_run({"--attach", folder.socket()}));
  read_introduction(follower);
  follower.wait_for("state: running");
  // As timeout(1) does; all of them are pending when it continues.
  for (const int signal : {SIGSTOP, SIGTERM, SIGINT, SIGCONT}) follower.send_signal(signal);
  CHECK(follower.wait_for_end() == 0);
  CHECK(runs(pid));
}

QEMU_TEST_CASE("the option --name overrides the name in vm.json") {
  VmFolder folder(qemu);
  Program program(qemuctl_run({folder.vm_file(), "--detach", "--name", "other"}));
  CHECK(program.wait_for_end() == 0);
  CHECK_THAT(program.output(), ContainsSubstring("name: other\n") && ContainsSubstring("/other.sock\n"));
}

QEMU_TEST_CASE("a second run of a running VM is rejected and does it no harm") {
  VmFolder folder(qemu);
  const int pid = start_detached(folder);
  Program again(qemuctl_run({folder.vm_file()}));
  CHECK(again.wait_for_end() == 1);
  CHECK_THAT(again.errors(), ContainsSubstring("vm"));
  CHECK(folder.vms() == std::vector<int>{pid});
  CHECK(std::filesystem::exists(folder.socket()));
}

QEMU_TEST_CASE("the output of --dry-run starts the VM when pasted into a shell") {
  VmFolder folder(qemu);
  folder.config.set("serials", qemuctl::Json::array({qemuctl::Json::object({{"type", "socket"}})}));
  Program dry_run(qemuctl_run({folder.vm_file(), "--dry-run"}));
  REQUIRE(dry_run.wait_for_end() == 0);
  CHECK(folder.vms().empty());
  CHECK_FALSE(std::filesystem::exists(folder.socket()));
  const std::string line = dry_run.output();
  CHECK(std::count(line.begin(), line.end(), '\n') == 1);

  Program shell({"/bin/sh", "-c", "exec " + line});
  // Poll until QEMU listens on its monitor; the file exists a moment earlier.
  const auto deadline = std::chrono::steady_clock::now() + 30s;
  const auto listens = [&] {
    return std::ranges::any_of(
        qemuctl::detail::read_unix_sockets(), [&](const qemuctl::detail::UnixSocketEntry& entry) {
          return entry.state == qemuctl::detail::SocketState::listening && entry.name == folder.socket();
        });
  };
  while (!listens() && std::chrono::steady_clock::now() < deadline) std::this_thread::sleep_for(5ms);
  Program follower(qemuctl_run({"--attach", folder.socket()}));
  CHECK(read_introduction(follower) == shell.pid());
  follower.wait_for("state: running");
  shell.send_signal(SIGTERM);
  CHECK(follower.wait_for_end() == 0);
  CHECK(shell.wait_for_end() == 0);
}

QEMU_TEST_CASE("the option -v prints QMP events along with the states, and what was started on stderr") {
  VmFolder folder(qemu);
  Program program(qemuctl_run({folder.vm_file(), "-v"}));
  const int pid = read_introduction(program);
  program.wait_for("state: running");
  program.send_signal(SIGINT);
  program.wait_for("event: POWERDOWN {}");
  REQUIRE(::kill(pid, SIGTERM) == 0);
  program.wait_for("event: SHUTDOWN {");
  program.wait_for("state: shutdown");
  CHECK(program.wait_for_end() == 0);
  for (const char* word : {"command line: ", "accelerator: ", "log: ", "QEMU "})
    CHECK_THAT(program.errors(), ContainsSubstring(word));
}

QEMU_TEST_CASE("a reader of stdout that goes away does not disturb the run") {
  VmFolder folder(qemu);
  Program program(qemuctl_run({folder.vm_file()}));
  const int pid = read_introduction(program);
  program.close_output();
  program.send_signal(SIGINT);
  program.wait_for_error("asking vm to shut down");
  CHECK(runs(pid));
  program.send_signal(SIGINT);
  CHECK(program.wait_for_end() == 3);
}

TEST_CASE("a guest that has not shut down after a while is mentioned once more") {
  VmFolder folder(test::qemus().front());
  Program program(qemuctl_run({folder.vm_file()}));
  program.wait_for("state: running");
  program.send_signal(SIGINT);
  program.wait_for_error("asking vm to shut down");
  program.wait_for_error("vm has not shut down yet; press Ctrl-C again to force it", 60s);
}

TEST_CASE("Ctrl-C before the VM has started leaves nothing behind") {
  VmFolder folder(test::qemus().front());
  const std::string stuck = folder.path("qemu-system-stuck");
  const std::string called = folder.path("called"), never = folder.path("never");
  REQUIRE(::mkfifo(called.c_str(), 0600) == 0);
  REQUIRE(::mkfifo(never.c_str(), 0600) == 0);
  std::ofstream(stuck) << "#!/bin/sh\necho called > " << called << "\nread nothing < " << never << '\n';
  std::filesystem::permissions(stuck, std::filesystem::perms::owner_all);
  folder.config.set("qemuPath", stuck);
  Program program(qemuctl_run({folder.vm_file()}));
  Program({"/bin/cat", called}).wait_for("called");
  program.send_signal(SIGINT);
  CHECK(program.wait_for_end(10s) == 1);
  CHECK_THAT(program.errors(), ContainsSubstring("interrupted before the VM had started"));
}

QEMU_TEST_CASE("the output of --dry-run includes the serial port that --console would add") {
  VmFolder folder(qemu);
  Program without(qemuctl_run({folder.vm_file(), "--dry-run"}));
  CHECK(without.wait_for_end() == 0);
  CHECK_THAT(without.output(), !ContainsSubstring("vm.serial0"));
  Program with(qemuctl_run({folder.vm_file(), "--dry-run", "--console"}));
  CHECK(with.wait_for_end() == 0);
  CHECK_THAT(with.output(), ContainsSubstring("vm.serial0"));
}

TEST_CASE("a failed write to stdout is an error of --dry-run") {
  VmFolder folder(test::qemus().front());
  Program shell({"/bin/sh", "-c", "exec " QEMUCTL_RUN " --dry-run " + folder.vm_file() + " > /dev/full"});
  CHECK(shell.wait_for_end() == 1);
  CHECK_THAT(shell.errors(), ContainsSubstring("cannot write to stdout"));
}

QEMU_TEST_CASE("a run without stdin, stdout and stderr works") {
  VmFolder folder(qemu);
  Program shell({"/bin/sh", "-c", "exec " QEMUCTL_RUN " --detach " + folder.vm_file() + " <&- >&- 2>&-"});
  CHECK(shell.wait_for_end() == 0);
  CHECK(folder.vms().size() == 1);
}
