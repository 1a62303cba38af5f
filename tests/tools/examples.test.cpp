// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// The examples, as their first lines say that they are used.
#include "catch.hpp"
#include "machine.hpp"
#include "program.hpp"
#include "vm_folder.hpp"

#include <signal.h>

#include <string>

using Catch::Matchers::ContainsSubstring;
using test::Program;
using test::VmFolder;

namespace {

std::string example(const char* name) {
  return std::string(QEMUCTL_EXAMPLES_DIR) + "/" + name;
}

/// Waits on the guest's console until it is up; the power button does nothing before.
void wait_until_guest_is_up(const VmFolder& folder) {
  Program console({QEMUCTL_RUN, "--attach", folder.socket(), "--console"});
  console.wait_for("qemuctl-demo: up");
  console.send_signal(SIGINT);
  CHECK(console.wait_for_end() == 0);
}

} // namespace

QEMU_TEST_CASE("example 1 launches a VM and shuts it down when Enter is pressed") {
  VmFolder folder(qemu, VmFolder::Guest::demo);
  Program program({example("01_launch"), folder.vm_file()});
  CHECK_THAT(program.read_line(), ContainsSubstring("vm is running as process "));
  wait_until_guest_is_up(folder);
  program.type("\n");
  CHECK(program.read_line() == "It has ended: guest shut down");
  CHECK(program.wait_for_end() == 0);
  CHECK(folder.vms().empty());
}

QEMU_TEST_CASE("example 2 prints states and events, and Ctrl-C stops the VM") {
  VmFolder folder(qemu, VmFolder::Guest::demo);
  Program program({example("02_follow"), folder.vm_file()}, Program::Io::terminal);
  program.wait_for("state: running");
  wait_until_guest_is_up(folder);
  program.type("\x03");
  program.wait_for("event: POWERDOWN");
  program.wait_for("event: SHUTDOWN {");
  program.wait_for("stopped: guest shut down");
  CHECK(program.wait_for_end() == 0);
  CHECK_THAT(program.output(), ContainsSubstring("state: shutdown") && ContainsSubstring("ended: shutdown"));
  CHECK(folder.vms().empty());
}

QEMU_TEST_CASE("example 3 attaches by PID and by socket, and leaves the VM as it is") {
  VmFolder folder(qemu);
  Program launcher({QEMUCTL_RUN, folder.vm_file(), "--detach"});
  REQUIRE(launcher.wait_for_end() == 0);
  const auto vms = folder.vms();
  REQUIRE(vms.size() == 1);
  for (const std::string& target : {std::to_string(vms.front()), folder.socket()}) {
    Program program({example("03_attach"), target});
    CHECK(program.wait_for_end() == 0);
    CHECK_THAT(program.output(), ContainsSubstring("vm at ") && ContainsSubstring(" is running\nQEMU ") &&
                                     ContainsSubstring("1 CPUs, ") && ContainsSubstring(" MiB\n"));
  }
  CHECK(folder.vms() == vms);
}

TEST_CASE("the examples report errors and exit with 1") {
  for (const char* name : {"01_launch", "02_follow", "03_attach"}) {
    Program program({example(name), "/no/such/file"});
    CHECK(program.wait_for_end() == 1);
    CHECK_THAT(program.errors(), ContainsSubstring("/no/such/file"));
  }
}

TEST_CASE("the hotplug story runs to its end") {
  static_cast<void>(test::host_in_a_vm()); // skips if there is none
  test::Program story(
      {QEMUCTL_EXAMPLES_DIR "/06_hotplug_story", QEMUCTL_TEST_MACHINE_DIR "/host-in-a-vm", QEMUCTL_HOTPLUGD});
  CHECK(story.wait_for_end(std::chrono::seconds(170)) == 0);
  CHECK(story.errors().empty());
  CHECK_THAT(story.output(), ContainsSubstring("VM media has 1-3 0627:0001"));
  CHECK_THAT(story.output(), ContainsSubstring("VM office has 2-4 46f4:0001"));
  CHECK_THAT(story.output(), ContainsSubstring("rule 0 (disks) matches: it goes to VM office"));
  CHECK_THAT(story.output(), ContainsSubstring("That is the story."));
}
