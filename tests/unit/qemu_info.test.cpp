// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "environment.hpp"
#include "run.hpp"
#include "temp_dir.hpp"

#include <qemuctl/error.hpp>
#include <qemuctl/qemu_info.hpp>

#include <sys/utsname.h>

#include <filesystem>
#include <fstream>
#include <string>

using namespace qemuctl;
using Catch::Matchers::ContainsSubstring;
namespace fs = std::filesystem;

namespace {

fs::path make_program(const fs::path& path, const std::string& text = "#!/bin/sh\n") {
  fs::create_directories(path.parent_path());
  std::ofstream(path) << text;
  fs::permissions(path, fs::perms::owner_all);
  return path;
}

/// The error of something that must fail.
template<typename F>
Error error_of(F function) {
  try {
    function();
  } catch (const Error& error) {
    return error;
  }
  FAIL("it did not fail");
  throw std::logic_error("not reached");
}

/// What becomes of taking a shell script for QEMU.
Error probe_error(const std::string& script) {
  const test::TempDir dir;
  const fs::path program = make_program(dir / "qemu", "#!/bin/sh\n" + script);
  return error_of([&] { test::run([&] { return probe_qemu(program); }, std::chrono::seconds(40)); });
}

} // namespace

TEST_CASE("Each architecture has its system emulator", "[qemu_info]") {
  CHECK(qemu_binary_name("amd64") == "qemu-system-x86_64");
  CHECK(qemu_binary_name("386") == "qemu-system-i386");
  CHECK(qemu_binary_name("arm64") == "qemu-system-aarch64");
  CHECK(qemu_binary_name("arm") == "qemu-system-arm");
  CHECK(qemu_binary_name("riscv64") == "qemu-system-riscv64");
  CHECK(qemu_binary_name("ppc64") == "qemu-system-ppc64");
  CHECK(qemu_binary_name("ppc64le") == "qemu-system-ppc64");
  CHECK(qemu_binary_name("mips") == "qemu-system-mips");
  CHECK(qemu_binary_name("mips64") == "qemu-system-mips64");
  CHECK(qemu_binary_name("s390x") == "qemu-system-s390x");

  utsname host{};
  REQUIRE(::uname(&host) == 0);
  if (std::string(host.machine) == "x86_64") CHECK(qemu_binary_name("") == "qemu-system-x86_64");
  if (std::string(host.machine) == "aarch64") CHECK(qemu_binary_name("") == "qemu-system-aarch64");
}

TEST_CASE("An unknown architecture is an error that lists the known ones", "[qemu_info]") {
  const Error error = error_of([] { qemu_binary_name("x86_64"); });
  CHECK(error.code() == errc::invalid_argument);
  CHECK_THAT(error.what(), ContainsSubstring("'x86_64' is not known"));
  CHECK_THAT(error.what(), ContainsSubstring("amd64, 386, arm64, arm, riscv64, ppc64, ppc64le, mips, mips64, s390x; "
                                             "'x86_64' is 'amd64'"));
}

TEST_CASE("QEMU is searched for in the folders of PATH, in order", "[qemu_info]") {
  const test::TempDir dir;
  const test::Environment path("PATH",
                               (dir / "none").native() + "::" + (dir / "a").native() + ":" + (dir / "b").native());
  const fs::path b = make_program(dir / "b/qemu-system-s390x");
  CHECK(find_qemu("s390x") == b);

  fs::create_directories(dir / "a/qemu-system-s390x"); // a folder is not a program
  CHECK(find_qemu("s390x") == b);
  fs::remove(dir / "a/qemu-system-s390x");
  const fs::path a = make_program(dir / "a/qemu-system-s390x");
  CHECK(find_qemu("s390x") == a);
  fs::permissions(a, fs::perms::owner_read);
  CHECK(find_qemu("s390x") == b);

  make_program(dir / "b/my-qemu");
  CHECK(find_qemu("amd64", "my-qemu") == dir / "b/my-qemu");
}

TEST_CASE("A path to QEMU is used as is, or rejected with the reason", "[qemu_info]") {
  const test::TempDir dir;
  const fs::path program = make_program(dir / "anything");
  CHECK(find_qemu("", program.native()) == program);
  CHECK(find_qemu("no such architecture", program.native()) == program);

  const auto refusal = [&](const fs::path& qemu_path) {
    const Error error = error_of([&] { find_qemu("", qemu_path.native()); });
    CHECK(error.code() == errc::not_found);
    CHECK(error.diagnostics().subject == qemu_path.native());
    return error.diagnostics().detail;
  };
  CHECK(refusal(dir / "nothing") == "there is no such file");
  CHECK(refusal(dir.path()) == "it is no file that could be executed");
  fs::permissions(program, fs::perms::owner_read);
  CHECK(refusal(program) == "it is not executable");
}

TEST_CASE("A relative path to QEMU becomes absolute", "[qemu_info]") {
  const test::TempDir dir;
  make_program(dir / "bin/qemu");
  const fs::path before = fs::current_path();
  fs::current_path(dir.path());
  const fs::path found = find_qemu("", "bin/qemu");
  fs::current_path(before);
  CHECK(fs::equivalent(found, dir / "bin/qemu"));
  CHECK(found.is_absolute());
}

TEST_CASE("A missing QEMU is an error that names the places searched and the package", "[qemu_info]") {
  const test::TempDir dir;
  const test::Environment path("PATH", dir.path().native());
  if (fs::exists("/usr/bin/qemu-system-mips64")) return;
  const Error error = error_of([] { find_qemu("mips64"); });
  CHECK(error.code() == errc::not_found);
  CHECK_THAT(error.what(), ContainsSubstring("qemu-system-mips64"));
  CHECK_THAT(error.what(), ContainsSubstring(dir.path().native()));
  CHECK_THAT(error.what(), ContainsSubstring("/pkg/main/app-emulation.qemu.core/bin, /usr/bin, /usr/local/bin"));
  CHECK_THAT(error.what(), ContainsSubstring("package qemu-system-mips"));
}

TEST_CASE("A program that is not a QEMU is rejected with how it ended", "[qemu_info]") {
  const Error truth = error_of([] { test::run([] { return probe_qemu("/bin/true"); }); });
  CHECK(truth.code() == errc::launch_failed);
  CHECK(truth.diagnostics().detail == "QEMU ended with exit status 0");
  CHECK(truth.diagnostics().subject == "/bin/true");

  CHECK(probe_error("exit 3").diagnostics().detail == "QEMU ended with exit status 3");
  CHECK(probe_error("kill -SEGV $$").diagnostics().detail == "QEMU was killed by signal 11 (Segmentation fault)");
  CHECK(probe_error("exec 3>&-; exec sleep 60").diagnostics().detail == "QEMU has closed its monitor");
  CHECK(error_of([] { test::run([] { return probe_qemu("/nonexistent"); }); }).diagnostics().detail ==
        "it cannot be executed: No such file or directory");
}

TEST_CASE("The error quotes the output of a program that is not a QEMU", "[qemu_info]") {
  CHECK(probe_error("echo usage: >&2; echo '  none'; exit 1").diagnostics().server_text == "usage:\n  none");
  // A program that prints endlessly must not fill the memory: the excess is dropped.
  const std::string text = probe_error("yes | head -c 10000000; echo the end; exit 1").diagnostics().server_text;
  CHECK(text.starts_with("y\ny\n"));
  CHECK_THAT(text, !ContainsSubstring("the end"));
}

TEST_CASE("A program that does not speak QMP is rejected", "[qemu_info]") {
  const Error error = probe_error("echo 'HTTP/1.1 400 Bad Request' >&3; exec sleep 60");
  CHECK(error.code() == errc::launch_failed);
  CHECK_FALSE(error.diagnostics().detail.empty());
}

TEST_CASE("Device types are found by their exact name", "[qemu_info]") {
  QemuInfo info;
  info.devices = {"usb-host", "vfio-pci", "virtio-vga"};
  CHECK(info.has_device("usb-host"));
  CHECK(info.has_device("virtio-vga"));
  CHECK_FALSE(info.has_device("usb"));
  CHECK_FALSE(info.has_device(""));
}

TEST_CASE("Versions compare by their numbers", "[qemu_info]") {
  CHECK(QemuVersion{7, 2, 22} < QemuVersion{10, 0, 0});
  CHECK(QemuVersion{7, 2, 22} > QemuVersion{7, 2, 9});
  CHECK(to_string(QemuVersion{7, 2, 22}) == "7.2.22");
}
