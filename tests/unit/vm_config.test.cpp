// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "golden.hpp"
#include "temp_dir.hpp"

#include <qemuctl/error.hpp>
#include <qemuctl/vm_config.hpp>

#include <unistd.h>

#include <cstdlib>
#include <string>

using namespace qemuctl;

TEST_CASE("a description of a VM is a plain value") {
  VmConfig a, b;
  CHECK(a == b);
  b.disks.emplace_back();
  CHECK(a != b);
  CHECK(a.cpu.count() == 1);
  a.cpu.cores = 3;
  a.cpu.threads = 2;
  CHECK(a.cpu.count() == 6);
}

TEST_CASE("the default socket folder is the user's cache folder, and /var/run/qemu for root") {
  if (::geteuid() == 0) {
    CHECK(default_socket_dir() == "/var/run/qemu");
    return;
  }
  ::setenv("XDG_CACHE_HOME", "/c/ache", 1);
  CHECK(default_socket_dir() == "/c/ache/qemuctl");
  ::setenv("XDG_CACHE_HOME", "relative", 1);
  ::setenv("HOME", "/ho/me", 1);
  CHECK(default_socket_dir() == "/ho/me/.cache/qemuctl");
  ::unsetenv("XDG_CACHE_HOME");
  CHECK(default_socket_dir() == "/ho/me/.cache/qemuctl");
}

TEST_CASE("the socket of a serial port is named after the VM unless it has a path") {
  VmConfig config;
  config.name = "demo";
  config.socket_dir = "/run/vms";
  config.serials.resize(2);
  config.serials[1].path = "/elsewhere";
  CHECK(serial_socket_path(config, 0) == "/run/vms/demo.serial0");
  CHECK(serial_socket_path(config, 1) == "/elsewhere");
  config.socket_dir.clear();
  CHECK(serial_socket_path(config, 0) == default_socket_dir() + "/demo.serial0");
}

TEST_CASE("all missing files are reported at once") {
  test::TempDir dir;
  test::write_file(dir / "there.raw", "x");
  VmConfig config;
  config.name = "demo";
  config.boot.kernel = dir / "no-kernel";
  config.boot.initrd = dir / "no-initrd";
  config.disks.resize(3);
  std::get<FileDiskBackend>(config.disks[0].backend).path = dir / "there.raw";
  std::get<FileDiskBackend>(config.disks[1].backend).path = dir / "no-disk";
  std::get<FileDiskBackend>(config.disks[2].backend).path = dir.path();
  try {
    check_files(config);
    FAIL("nothing was thrown");
  } catch (const Error& error) {
    CHECK(error.code() == errc::not_found);
    const std::string& detail = error.diagnostics().detail;
    CHECK_THAT(detail, Catch::Matchers::ContainsSubstring("boot.kernel: " + config.boot.kernel + ": No such file"));
    CHECK_THAT(detail, Catch::Matchers::ContainsSubstring("boot.initrd: " + config.boot.initrd + ": No such file"));
    CHECK_THAT(detail, Catch::Matchers::ContainsSubstring("disks[1].backend.path: "));
    CHECK_THAT(detail,
               Catch::Matchers::ContainsSubstring("disks[2].backend.path: " + dir.path().string() + " is a folder"));
    CHECK(detail.find("disks[0]") == std::string::npos);
    CHECK_THAT(error.what(), Catch::Matchers::ContainsSubstring("VM demo"));
  }
}

TEST_CASE("existing files are accepted") {
  test::TempDir dir;
  test::write_file(dir / "file", "x");
  VmConfig config;
  CHECK_NOTHROW(check_files(config));
  config.boot.kernel = dir / "file";
  config.disks.resize(1);
  std::get<FileDiskBackend>(config.disks[0].backend).path = dir / "file";
  CHECK_NOTHROW(check_files(config));
}

TEST_CASE("a disk that is not writable must be read-only") {
  if (::geteuid() == 0) return; // root can write anything
  test::TempDir dir;
  test::write_file(dir / "disk", "x");
  std::filesystem::permissions(dir / "disk", std::filesystem::perms::owner_read);
  VmConfig config;
  config.disks.resize(1);
  std::get<FileDiskBackend>(config.disks[0].backend).path = dir / "disk";
  CHECK_THROWS_WITH(check_files(config), Catch::Matchers::ContainsSubstring("\"readOnly\": true"));
  config.disks[0].read_only = true;
  CHECK_NOTHROW(check_files(config));
}
