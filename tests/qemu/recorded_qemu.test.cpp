// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// tests/data/qemu: what QEMU answers to `probe_qemu`, for tests without one.
#include "golden.hpp"
#include "machine.hpp"
#include "qemu_info_json.hpp"
#include "run.hpp"

#include <fmt/format.h>

using namespace qemuctl;

namespace {

/// One name in each line, so that a difference can be read.
std::string printed(const QemuInfo& info) {
  std::string text = detail::qemu_info_to_json(info).dump();
  for (std::size_t at = 0; (at = text.find(",\"", at)) != std::string::npos; at += 2) text.insert(at + 1, "\n");
  return text + "\n";
}

void compare(const std::string& name, const std::filesystem::path& qemu) {
  const QemuInfo info = test::run([&] { return probe_qemu(qemu); });
  const auto file = test::source_dir() / "tests/data/qemu" /
                    fmt::format("{}-{}.{}.json", name, info.version.major, info.version.minor);
  if (test::update_golden()) test::write_file(file, printed(info));
  if (!std::filesystem::exists(file)) return; // a version without a recording
  const QemuInfo recorded = detail::qemu_info_from_json(qemu, parse_json(test::read_file(file)));
  CHECK(recorded.version.major == info.version.major);
  // Distribution updates add no features that differ between versions.
  CHECK(recorded.features == info.features);
  CHECK(recorded.pci_devices == info.pci_devices);
  CHECK(recorded.objects == info.objects);
  CHECK(recorded.machines == info.machines);
}

} // namespace

QEMU_TEST_CASE("the recorded QEMU answers like a real one of the same version") {
  compare("qemu-system-x86_64", qemu);
}

TEST_CASE("the recorded QEMU of another architecture answers like a real one of the same version") {
  compare("qemu-system-aarch64", test::qemu_for("arm64"));
}
