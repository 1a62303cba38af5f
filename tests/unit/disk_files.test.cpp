// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// What is found out about the files of disks and firmware before QEMU opens them.
#include "catch.hpp"
#include "config/disk_image.hpp"
#include "config/files_check.hpp"
#include "golden.hpp"
#include "temp_dir.hpp"

#include <qemuctl/error.hpp>
#include <qemuctl/vm_config.hpp>

#include <unistd.h>

#include <string>

using namespace qemuctl;
using Catch::Matchers::ContainsSubstring;

namespace {

/// The programs a superuser starts may write everything; `access` asks for the real user.
class Nobody {
 public:
  Nobody() { change_to(::getuid() == 0 ? 65534 : ::getuid()); }
  ~Nobody() { change_to(before_); }
  Nobody(const Nobody&) = delete;
  Nobody& operator=(const Nobody&) = delete;

 private:
  static void change_to(uid_t user) { REQUIRE(::setreuid(user, static_cast<uid_t>(-1)) == 0); }
  uid_t before_ = ::getuid();
};

std::string refusal(const VmConfig& config) {
  try {
    check_files(config);
  } catch (const Error& error) {
    CHECK(error.code() == errc::not_found);
    return error.diagnostics().detail;
  }
  return "not refused";
}

/// A disk whose file has this content.
struct Image {
  test::TempDir dir;
  VmConfig config;

  Image(const std::string& name, const std::string& content, const std::string& format = "") {
    test::write_file(dir / name, content);
    config.disks.resize(1);
    file().path = dir / name;
    file().format = format;
  }
  FileDiskBackend& file() { return std::get<FileDiskBackend>(config.disks[0].backend); }
  DiskConfig& disk() { return config.disks[0]; }
};

const std::string qcow2("QFI\xFB\0\0\0\3", 8);

} // namespace

TEST_CASE("a raw image that looks like another format is rejected unless raw was requested") {
  CHECK_THAT(refusal(Image("a.img", qcow2).config),
             ContainsSubstring("disks[0].backend.format: found nothing, while ") &&
                 ContainsSubstring("expected \"qcow2\", or \"raw\" for a guest"));
  CHECK(refusal(Image("a.img", qcow2, "raw").config) == "not refused");
  CHECK(refusal(Image("a.img", qcow2, "qcow2").config) == "not refused");
  CHECK(refusal(Image("a.qcow2", qcow2).config) == "not refused");
  CHECK(refusal(Image("a.img", "").config) == "not refused");
  CHECK_THAT(refusal(Image("a.img", "KDMV").config), ContainsSubstring("\"vmdk\""));
  CHECK_THAT(refusal(Image("a.img", std::string(64, ' ') + "\x7F\x10\xDA\xBE").config), ContainsSubstring("\"vdi\""));
}

TEST_CASE("an image that does not have its stated format is rejected") {
  CHECK_THAT(refusal(Image("a.qcow2", "x").config),
             ContainsSubstring("disks[0].backend.path: ") && ContainsSubstring("is no image of format \"qcow2\""));
  CHECK_THAT(refusal(Image("a.img", "vhdxfile", "vmdk").config),
             ContainsSubstring("disks[0].backend.format: ") && ContainsSubstring("begins as one of \"vhdx\" does"));
  // Recognisable by its end only.
  CHECK(refusal(Image("a.img", "x", "vpc").config) == "not refused");
}

TEST_CASE("devices have paths below /dev, and nothing else does") {
  Image image("a", "");
  image.file().path = "/dev/null";
  CHECK(refusal(image.config) == "not refused");
  image.file().path = image.dir / "link";
  std::filesystem::create_symlink("/dev/null", image.file().path);
  CHECK_THAT(refusal(image.config), ContainsSubstring("which is a device, expected its own path below /dev"));
  CHECK(detail::file_driver("/dev/sda") == "host_device");
  CHECK(detail::file_driver("/dev/shm/disk") == "file");
  CHECK(detail::file_driver("/dev/fdset/1") == "file");
  CHECK(detail::file_driver("/data/dev/x") == "file");
  // Its target is not known here.
  image.file().path = "/dev/fdset/1";
  CHECK(refusal(image.config) == "not refused");
}

TEST_CASE("a disk with automatic read-only is read-only if its file cannot be written") {
  Image image("disk", "x");
  std::filesystem::permissions(image.dir.path(), std::filesystem::perms(0755));
  std::filesystem::permissions(image.file().path, std::filesystem::perms(0444));
  const Nobody nobody;
  CHECK_FALSE(detail::is_read_only(image.disk()));
  CHECK_THAT(refusal(image.config), ContainsSubstring("\"readOnly\": true"));
  image.file().auto_read_only = true;
  CHECK(detail::is_read_only(image.disk()));
  CHECK(refusal(image.config) == "not refused");
  // Such disks do not exist.
  image.disk().interface = "sata";
  CHECK_FALSE(detail::is_read_only(image.disk()));
  CHECK_THAT(refusal(image.config), ContainsSubstring("have read-only disks"));
}

TEST_CASE("a disk with automatic read-only is writable if its file can be written") {
  Image image("disk", "x");
  image.file().auto_read_only = true;
  CHECK_FALSE(detail::is_read_only(image.disk()));
  image.disk().read_only = true;
  CHECK(detail::is_read_only(image.disk()));
}

TEST_CASE("images in CD-ROM drives are raw") {
  const test::TempDir dir;
  test::write_file(dir / "a.iso", "x");
  test::write_file(dir / "b.iso", qcow2);
  VmConfig config;
  config.cdroms.resize(3);
  config.cdroms[0].path = dir / "a.iso";
  config.cdroms[2].path = dir / "b.iso";
  const std::string detail = refusal(config);
  CHECK_THAT(detail, ContainsSubstring("cdroms[2].path: found ") && ContainsSubstring("expected a raw one"));
  CHECK(detail.find("cdroms[0]") == std::string::npos);
}

TEST_CASE("NBD certificates must be complete") {
  const test::TempDir dir;
  VmConfig config;
  NbdDiskBackend nbd;
  nbd.host = "localhost";
  nbd.tls = true;
  nbd.tls_dir = dir.path();
  config.disks.emplace_back().backend = nbd;
  CHECK_THAT(refusal(config), ContainsSubstring("disks[0].backend.tlsDir: ") && ContainsSubstring("ca-cert.pem"));
  test::write_file(dir / "ca-cert.pem", "x");
  CHECK(refusal(config) == "not refused");
  test::write_file(dir / "client-cert.pem", "x");
  CHECK_THAT(refusal(config), ContainsSubstring("client-key.pem: No such file"));
  test::write_file(dir / "client-key.pem", "x");
  CHECK(refusal(config) == "not refused");
}

TEST_CASE("firmware is a flash image, and has variables or a template") {
  const test::TempDir dir;
  test::write_file(dir / "code", std::string(8192, 'x'));
  test::write_file(dir / "short", "x");
  test::write_file(dir / "packed", qcow2 + std::string(4096 - qcow2.size(), '\0'));
  VmConfig config;
  EfiConfig& efi = config.efi.emplace();
  efi.code = dir / "code";
  CHECK(refusal(config) == "not refused");
  efi.vars = dir / "none";
  CHECK_THAT(refusal(config), ContainsSubstring("there is no efi.varsTemplate to make it from"));
  efi.vars_template = dir / "short";
  CHECK_THAT(refusal(config), ContainsSubstring("efi.varsTemplate: found ") && ContainsSubstring("of 1 bytes"));
  efi.vars_template = dir / "code";
  CHECK(refusal(config) == "not refused");
  efi.vars = dir / "short";
  CHECK_THAT(refusal(config), ContainsSubstring("efi.vars: found ") && ContainsSubstring("of 1 bytes"));
  efi.code = dir / "packed";
  CHECK_THAT(refusal(config), ContainsSubstring("efi.code: found ") && ContainsSubstring("format \"qcow2\""));
}
