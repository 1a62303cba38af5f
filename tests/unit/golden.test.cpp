// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "golden.hpp"

#include "catch.hpp"

#include <qemuctl/command_line.hpp>
#include <qemuctl/error.hpp>

#include <string>

using namespace qemuctl;

namespace {

/// As the launcher calls it, with descriptors in place of sockets.
std::string command_line(const VmConfig& config) {
  QemuInfo qemu;
  qemu.path = "/usr/bin/" + qemu_binary_name(config.arch.empty() ? "amd64" : config.arch);
  qemu.version = {7, 2, 22};
  CommandLineContext context;
  context.accel = config.machine.accel == "kvm" ? "kvm" : "tcg";
  context.control_fd = 3;
  context.monitor_fd = 4;
  int next = 5;
  for (const SerialConfig& serial : config.serials) context.serial_fds.push_back(serial.type == "socket" ? next++ : -1);
  std::string lines;
  for (const std::string& word : build_command_line(config, qemu, context)) lines += word + '\n';
  return lines;
}

} // namespace

TEST_CASE("golden command lines are what they were") {
  for (const test::Golden& golden : test::goldens()) {
    DYNAMIC_SECTION(golden.name) {
      const std::string lines = command_line(golden.config("/vm"));
      if (test::update_golden()) test::write_file(golden.argv_file, lines);
      CHECK(lines == test::read_file(golden.argv_file));
    }
  }
}

TEST_CASE("the golden demo is the example") {
  for (const test::Golden& golden : test::goldens())
    if (golden.name == "demo") CHECK(golden.vm_json == test::read_file(test::source_dir() / "examples/demo-vm.json"));
}
