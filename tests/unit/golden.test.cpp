// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "golden.hpp"

#include "catch.hpp"
#include "config/networks.hpp"
#include "qemu_info_json.hpp"

#include <qemuctl/command_line.hpp>
#include <qemuctl/error.hpp>

#include <fmt/format.h>

#include <cstddef>
#include <filesystem>
#include <set>
#include <sstream>
#include <string>

using namespace qemuctl;

namespace {

/// QEMU as it was recorded by tests/qemu/golden.test.cpp.
QemuInfo recorded_qemu(const std::string& binary, const std::string& version) {
  const auto file = test::source_dir() / "tests/data/qemu" / fmt::format("{}-{}.json", binary, version);
  if (!std::filesystem::exists(file)) { // other architectures: only the version is known
    QemuInfo qemu;
    qemu.path = "/usr/bin/" + binary;
    qemu.version = {7, 2, 22};
    return qemu;
  }
  return detail::qemu_info_from_json("/usr/bin/" + binary, parse_json(test::read_file(file)));
}

/// As the launcher calls it, with descriptors in place of sockets.
std::string command_line(const VmConfig& config, const QemuInfo& qemu) {
  CommandLineContext context;
  context.accel = config.machine.accel == "kvm" ? "kvm" : "tcg";
  context.control_fd = 3;
  context.monitor_fd = 4;
  int next = 5;
  const auto inherit = [&](const std::string& path) { context.descriptors[path].push_back(next++); };
  for (std::size_t i = 0; i < config.serials.size(); ++i)
    if (config.serials[i].type == "socket" && config.serials[i].server) inherit(fmt::format("serials[{}]", i));
  for (std::size_t i = 0; i < config.chardevs.size(); ++i)
    if (config.chardevs[i].server && !config.chardevs[i].path.empty()) inherit(fmt::format("chardevs[{}]", i));
  if (!config.guest_agent.empty()) inherit("guestAgent");
  for (std::size_t i = 0; i < config.networks.size(); ++i) {
    const auto end = detail::stream_end(config.networks[i].backend);
    if (end && (detail::launcher_connects(*end) || (end->server && !end->path.empty())))
      inherit(fmt::format("networks[{}].backend", i));
    const auto* tap = std::get_if<TapNetBackend>(&config.networks[i].backend);
    if (!tap || detail::qemu_opens(*tap)) continue;
    const std::string path = fmt::format("networks[{}].backend", i);
    const std::size_t queues = detail::queues_of(*tap);
    for (std::size_t queue = 0; queue < queues; ++queue) inherit(path);
    for (std::size_t queue = 0; tap->vhost && queue < queues; ++queue) inherit(path + ".vhost");
  }
  for (std::size_t i = 0; i < config.secrets.size(); ++i)
    if (!config.secrets[i].data.empty()) inherit(fmt::format("secrets[{}]", i));
  if (config.display.vnc && !config.display.vnc->password.empty()) inherit("display.vnc.password");
  if (config.display.spice && !config.display.spice->password.empty()) inherit("display.spice.password");
  if (config.tpm) inherit("tpm");
  for (std::size_t i = 0; i < config.shares.size(); ++i)
    if (config.shares[i].type == "virtiofs") inherit(fmt::format("shares[{}]", i));
  std::string lines;
  try {
    for (const std::string& word : build_command_line(config, qemu, context)) lines += word + '\n';
  } catch (const Error& error) {
    lines = fmt::format("{}{}\n", test::Golden::refused, error.what());
  }
  return lines;
}

} // namespace

TEST_CASE("golden command lines are unchanged") {
  for (const test::Golden& golden : test::goldens()) {
    DYNAMIC_SECTION(golden.name) {
      const VmConfig config = golden.config("/vm");
      const std::string binary = qemu_binary_name(config.arch.empty() ? "amd64" : config.arch);
      const std::string old_lines = command_line(config, recorded_qemu(binary, "7.2"));
      if (test::update_golden()) test::write_file(golden.argv_file, old_lines);
      CHECK(old_lines == test::read_file(golden.argv_file));
      if (binary != "qemu-system-x86_64") continue;
      // The file for the newer QEMU exists only if it differs.
      const std::string new_lines = command_line(config, recorded_qemu(binary, "10.0"));
      if (test::update_golden()) {
        std::filesystem::remove(golden.newer_argv_file);
        if (new_lines != old_lines) test::write_file(golden.newer_argv_file, new_lines);
      }
      const bool differs = std::filesystem::exists(golden.newer_argv_file);
      CHECK(new_lines == test::read_file(differs ? golden.newer_argv_file : golden.argv_file));
    }
  }
}

TEST_CASE("the table of easy mistakes names golden VMs and tests that exist") {
  std::set<std::string> names;
  for (const test::Golden& golden : test::goldens()) names.insert(golden.name);
  std::istringstream lines(test::read_file(test::source_dir() / "tests/data/golden/README.md"));
  std::size_t rows = 0;
  for (std::string line; std::getline(lines, line) && line != "## What is not tested here, and why";) {
    // | what goes wrong | golden VMs | tests |
    const std::size_t vms = line.find(" | "), tests = line.find(" | ", vms + 1);
    if (!line.starts_with("| ") || tests == std::string::npos || line.find('`', vms) == std::string::npos) continue;
    INFO(line);
    ++rows;
    for (std::size_t begin = line.find('`', vms); begin != std::string::npos;) {
      const std::size_t end = line.find('`', begin + 1);
      const std::string name = line.substr(begin + 1, end - begin - 1);
      INFO(name);
      CHECK((begin < tests ? names.contains(name) : std::filesystem::exists(test::source_dir() / "tests" / name)));
      begin = line.find('`', end + 1);
    }
  }
  CHECK(rows >= 25);
}

TEST_CASE("the golden demo matches the example") {
  for (const test::Golden& golden : test::goldens())
    if (golden.name == "demo") CHECK(golden.vm_json == test::read_file(test::source_dir() / "examples/demo-vm.json"));
}
