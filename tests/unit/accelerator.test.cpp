// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "accelerator.hpp"

#include "catch.hpp"
#include "environment.hpp"
#include "golden.hpp"
#include "run.hpp"
#include "temp_dir.hpp"

#include <qemuctl/file_descriptor.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>

using namespace qemuctl;
using namespace qemuctl::detail;
using Catch::Matchers::ContainsSubstring;
namespace fs = std::filesystem;

namespace {

/// A VM, and a QEMU that is a shell script.
struct Scene {
  explicit Scene(const std::string& script = "exit 99") {
    qemu.path = dir / qemu_binary_name("");
    qemu.accelerators = {"kvm", "tcg"};
    std::ofstream(qemu.path) << "#!/bin/sh\n: > \"$(dirname \"$0\")/was-started\"\n" << script << "\n";
    fs::permissions(qemu.path, fs::perms::owner_all);
  }

  AcceleratorChoice choose() {
    return test::run([&] { return choose_accelerator(config, qemu); });
  }

  bool was_started() const { return fs::exists(dir / "was-started"); }

  test::TempDir dir;
  test::Environment cache{"XDG_CACHE_HOME", (dir / "cache").native()};
  VmConfig config;
  QemuInfo qemu;
};

bool kvm_can_be_opened() {
  const FileDescriptor device(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
  return static_cast<bool>(device);
}

} // namespace

TEST_CASE("An explicitly requested accelerator is used as is", "[accelerator]") {
  Scene scene;
  for (const char* accel : {"kvm", "tcg"}) {
    scene.config.machine.accel = accel;
    const AcceleratorChoice choice = scene.choose();
    CHECK(choice.accel == accel);
    CHECK(choice.warning.empty());
  }
  CHECK_FALSE(scene.was_started());
}

TEST_CASE("A guest of another architecture runs under TCG without a warning", "[accelerator]") {
  Scene scene;
  scene.qemu.path = scene.dir / (qemu_binary_name("") == "qemu-system-s390x" ? "qemu-system-arm" : "qemu-system-s390x");
  const AcceleratorChoice choice = scene.choose();
  CHECK(choice.accel == "tcg");
  CHECK(choice.warning.empty());
}

TEST_CASE("A QEMU without KVM runs the guest under TCG with a warning", "[accelerator]") {
  Scene scene;
  scene.qemu.accelerators = {"tcg"};
  const AcceleratorChoice choice = scene.choose();
  CHECK(choice.accel == "tcg");
  CHECK(choice.warning == scene.qemu.path.native() + " was built without KVM; using TCG, which is much slower. "
                                                     "Set machine.accel to \"tcg\" to silence this");
  CHECK_FALSE(scene.was_started());
}

TEST_CASE("Without /dev/kvm nothing is started, and the warning says what to do", "[accelerator]") {
  if (kvm_can_be_opened()) return; // see the next cases
  Scene scene;
  const AcceleratorChoice choice = scene.choose();
  CHECK(choice.accel == "tcg");
  CHECK_THAT(choice.warning, ContainsSubstring("/dev/kvm") && ContainsSubstring("using TCG"));
  CHECK_FALSE(scene.was_started());
}

TEST_CASE("A QEMU that aborts under KVM falls back to TCG, and the warning quotes it", "[accelerator]") {
  if (!kvm_can_be_opened()) return;
  Scene scene(R"(me=$(basename "$0")
case "$*" in *accel=kvm*"-cpu Strange,+ssse3"*) ;; *) exit 1;; esac
echo "$me: warning: something harmless" >&2
echo "$me: error: failed to set MSR 0x10a to 0x69" >&2
echo "$me: kvm.c:3183: Assertion failed." >&2
kill -ABRT $$)");
  scene.config.cpu.model = "Strange";
  scene.config.cpu.features = {"+ssse3"};
  const AcceleratorChoice choice = scene.choose();
  CHECK(choice.accel == "tcg");
  CHECK(
      choice.warning ==
      "KVM does not work with the CPU model Strange,+ssse3 here (QEMU was killed by signal 6 (Aborted): failed to set "
      "MSR 0x10a to 0x69); using TCG, which is much slower. Set machine.accel to \"tcg\" to silence this, or "
      "cpu.model to one that KVM accepts");
  CHECK(scene.was_started());
}

TEST_CASE("A QEMU that rejects KVM falls back to TCG, and the warning quotes it", "[accelerator]") {
  if (!kvm_can_be_opened()) return;
  Scene scene("echo Could not access KVM kernel module: Device or resource busy; exit 1");
  const AcceleratorChoice choice = scene.choose();
  CHECK(choice.accel == "tcg");
  CHECK_THAT(choice.warning,
             ContainsSubstring("(QEMU ended with exit status 1: Could not access KVM kernel module: Device or resource "
                               "busy)"));
}

TEST_CASE("A crash of QEMU under KVM is remembered for this boot, but being killed by somebody is not",
          "[accelerator]") {
  if (!kvm_can_be_opened()) return;
  const int signal = GENERATE(SIGABRT, SIGSEGV, SIGSYS, SIGKILL, SIGTERM);
  const bool remembered = signal != SIGKILL && signal != SIGTERM;
  CAPTURE(signal);
  Scene scene;
  fs::copy_file(QEMUCTL_DYING_PROGRAM, scene.qemu.path, fs::copy_options::overwrite_existing);
  std::ofstream(scene.dir / "signal") << signal;
  for (int i = 0; i < 2; ++i) CHECK(scene.choose().accel == "tcg");
  CHECK(test::read_file(scene.dir / "starts") == (remembered ? "once\n" : "once\nonce\n"));
  if (!remembered) return;

  std::string boot_id;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot_id;
  REQUIRE_FALSE(boot_id.empty());
  int files = 0;
  for (const auto& file : fs::directory_iterator(scene.dir / "cache/qemuctl")) {
    if (!file.path().filename().native().starts_with("kvm")) continue;
    ++files;
    CHECK_THAT(test::read_file(file.path()), ContainsSubstring(boot_id));
  }
  CHECK(files == 1);
}
