// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// `tools/quickstart`, with and without a terminal. Everything is installed and built when this runs, so it only boots.
#include "catch.hpp"
#include "machine.hpp"
#include "program.hpp"

#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

using Catch::Matchers::ContainsSubstring;
using test::Program;

namespace {

using namespace std::chrono_literals;

/// The command, for a VM whose name no other run has.
std::vector<std::string> quickstart() {
  test::demo_guest();
  test::qemus();
  setenv("QEMUCTL_BUILD_DIR", QEMUCTL_BUILD_DIR, 1);
  return {QEMUCTL_SOURCE_DIR "/tools/quickstart", "--name", "quickstart-" + std::to_string(getpid())};
}

} // namespace

TEST_CASE("quickstart without a terminal boots the demo guest, prints its states and events, and shuts it down") {
  Program program(quickstart());
  program.close_input();
  program.wait_for("state: running", 120s);
  program.wait_for("qemuctl-demo: up", 120s);
  program.wait_for("qemuctl-demo: power button pressed", 120s);
  program.wait_for("SHUTDOWN");
  program.wait_for("state: shutdown");
  CHECK(program.wait_for_end() == 0);
  CHECK(program.errors().empty());
}

TEST_CASE("quickstart on a terminal shows the guest's console") {
  Program program(quickstart(), Program::Io::terminal);
  program.wait_for("qemuctl-demo: up", 120s);
  program.wait_for("demo# ");
  program.type("echo $((6*7))\r");
  program.wait_for("\n42\r\n");
  program.type("poweroff\r");
  program.wait_for("state: shutdown");
  CHECK(program.wait_for_end() == 0);
}

TEST_CASE("quickstart fails if the VM cannot be launched") {
  auto command = quickstart();
  command.back() = "no/name";
  Program program(command);
  program.close_input();
  CHECK(program.wait_for_end(120s) == 1);
  CHECK_THAT(program.output(), ContainsSubstring("no/name"));
  CHECK_THAT(program.errors(), ContainsSubstring("the guest has not come up"));
}
