// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "environment.hpp"
#include "machine.hpp"
#include "processes.hpp"
#include "run.hpp"
#include "temp_dir.hpp"

#include <qemuctl/qemu_info.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <string>
#include <vector>

using namespace qemuctl;
namespace fs = std::filesystem;

namespace {

QemuInfo probe(const fs::path& qemu) {
  return test::run([&] { return probe_qemu(qemu); });
}

} // namespace

QEMU_TEST_CASE("QEMU reports its version, accelerators and devices", "[qemu_info]") {
  const test::TempDir dir;
  const test::Environment cache("XDG_CACHE_HOME", dir.path().native());
  const QemuInfo info = probe(qemu);
  CHECK(info.path == qemu);
  CHECK(info.version >= QemuVersion{7, 2, 0});
  CHECK(info.version < QemuVersion{100, 0, 0});
  CHECK(std::ranges::find(info.accelerators, "tcg") != info.accelerators.end());
  CHECK(std::ranges::find(info.accelerators, "") == info.accelerators.end());
  CHECK(std::ranges::is_sorted(info.devices));
  CHECK(info.devices.size() > 100);
  for (const char* device : {"virtio-blk-pci", "virtio-net-pci", "qemu-xhci", "VGA", "isa-serial", "pcie-root-port"}) {
    CAPTURE(device);
    CHECK(info.has_device(device));
  }
  CHECK_FALSE(info.has_device("device")); // abstract
  for (const char* machine : {"q35", "pc", "microvm", "pc-q35-7.2"})
    CHECK(std::ranges::binary_search(info.machines, machine));
  for (const char* model : {"max", "qemu64", "Skylake-Client-v1"})
    CHECK(std::ranges::binary_search(info.cpu_models, model));
  CHECK_FALSE(info.has_device("no-such-device"));
}

QEMU_TEST_CASE("What QEMU reports is cached until the binary changes, and a damaged cache is replaced", "[qemu_info]") {
  const test::TempDir dir;
  const test::Environment cache("XDG_CACHE_HOME", dir.path().native());
  const QemuInfo first = probe(qemu);
  std::vector<fs::path> files;
  for (const auto& file : fs::directory_iterator(dir / "qemuctl")) files.push_back(file.path());
  REQUIRE(files.size() == 1);
  std::ifstream in(files[0]);
  const std::string text{std::istreambuf_iterator<char>(in), {}};

  // A tampered file shows that the second answer comes from it.
  const std::string lie = std::regex_replace(text, std::regex(R"("package": ?"[^"]*")"), R"("package":"remembered")");
  std::ofstream(files[0]) << lie;
  CHECK(probe(qemu).package == "remembered");
  CHECK(probe(qemu).devices == first.devices);

  std::ofstream(files[0]) << lie.substr(0, lie.size() / 2);
  CHECK(probe(qemu) == first);

  // As if the file were about an earlier state of the binary.
  std::ofstream(files[0]) << std::regex_replace(lie, std::regex(R"("size": ?)"), R"("size":1)");
  CHECK(probe(qemu) == first);
  std::ofstream(files[0]) << std::regex_replace(lie, std::regex(R"("modified": ?)"), R"("modified":1)");
  CHECK(probe(qemu) == first);
}

QEMU_TEST_CASE("What a wrapper script reports is not cached, as it may run another QEMU the next time", "[qemu_info]") {
  const test::TempDir dir;
  const test::Environment cache("XDG_CACHE_HOME", (dir / "cache").native());
  const fs::path script = dir / "qemu";
  std::ofstream(script) << "#!/bin/sh\nexec '" << qemu.native() << "' \"$@\"\n";
  fs::permissions(script, fs::perms::owner_all);
  const QemuInfo info = probe(script);
  CHECK(info.path == script);
  CHECK(info.version >= QemuVersion{7, 2, 0});
  CHECK_FALSE(fs::exists(dir / "cache/qemuctl"));
}

QEMU_TEST_CASE("A QEMU that a script runs as its child is queried, too, and does not stay behind", "[qemu_info]") {
  const test::TempDir dir;
  const test::Environment cache("XDG_CACHE_HOME", dir.path().native());
  const fs::path script = dir / "qemu-wrapper";
  const std::string mark = "asked-through-" + dir.path().filename().native();
  std::ofstream(script) << "#!/bin/sh\n'" << qemu.native() << "' \"$@\" -name " << mark << "\nexit $?\n";
  fs::permissions(script, fs::perms::owner_all);
  CHECK(probe(script).version == probe(qemu).version);
  const FileDescriptor left = test::process_with(mark);
  CHECK((!left || test::ends(left)));
}
