// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "golden.hpp"

#include "ask.hpp"
#include "machine.hpp"
#include "run.hpp"
#include "sample_files.hpp"
#include "temp_dir.hpp"

#include <qemuctl/error.hpp>
#include <qemuctl/qemu_info.hpp>

#include <string>

using namespace qemuctl;

namespace {

/// What has to become of it: "prelaunch", or "refused" when the file for this QEMU says so.
std::string expected(const test::Golden& golden, const std::filesystem::path& qemu) {
  const QemuInfo info = test::run([&] { return probe_qemu(qemu); });
  const bool newer = info.version.major >= 10 && std::filesystem::exists(golden.newer_argv_file);
  const std::string argv = test::read_file(newer ? golden.newer_argv_file : golden.argv_file);
  return argv.starts_with(test::Golden::refused) ? "refused" : "prelaunch";
}

std::string start(const test::Golden& golden, const std::filesystem::path& qemu) {
  const test::TempDir dir;
  std::filesystem::create_directory(dir / "vm"); // the demo's files are next to its folder
  VmConfig config = golden.config(dir / "vm");
  config.qemu_path = qemu.string();
  config.socket_dir = dir.path().string();
  config.machine.accel = "tcg";
  test::make_files(config);
  try {
    return test::ask(config, {test::status()})[0].at("status").as_string();
  } catch (const Error& error) {
    if (error.code() != errc::not_supported) throw;
    return "refused";
  }
}

/// Whether it is one for x86.
bool is_common(const test::Golden& golden) {
  const std::string arch = golden.config("/vm").arch;
  return arch.empty() || arch == "amd64";
}

} // namespace

QEMU_TEST_CASE("every golden VM is accepted by real QEMU") {
  for (const test::Golden& golden : test::goldens()) {
    if (!golden.not_started.empty() || !is_common(golden)) continue;
    DYNAMIC_SECTION(golden.name) {
      CHECK(start(golden, qemu) == expected(golden, qemu));
    }
  }
}

TEST_CASE("every golden VM of another architecture is accepted by real QEMU") {
  for (const test::Golden& golden : test::goldens()) {
    if (!golden.not_started.empty() || is_common(golden)) continue;
    DYNAMIC_SECTION(golden.name) {
      const std::filesystem::path qemu = test::qemu_for(golden.config("/vm").arch);
      CHECK(start(golden, qemu) == expected(golden, qemu));
    }
  }
}
