// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// What is refused of disks, CD-ROMs and shares; the golden files show what becomes of the rest.
#include "catch.hpp"

#include <qemuctl/command_line.hpp>
#include <qemuctl/error.hpp>
#include <qemuctl/vm_config_json.hpp>

#include <fmt/format.h>

#include <string>

using namespace qemuctl;
using Catch::Matchers::ContainsSubstring;

namespace {

QemuInfo x86() {
  QemuInfo qemu;
  qemu.path = "/usr/bin/qemu-system-x86_64";
  qemu.version = {7, 2, 22};
  return qemu;
}

/// What is said about a vm.json.
std::string refusal(const std::string& vm_json, const QemuInfo& qemu = x86(), errc code = errc::invalid_argument) {
  try {
    build_command_line(parse_vm_config(vm_json, "vm.json", "/vm"), qemu, {});
  } catch (const Error& error) {
    CHECK(error.code() == code);
    return error.diagnostics().detail;
  }
  return "not refused";
}

/// The same about one disk whose image is a file; `members` follow those of the backend.
std::string file_disk(const std::string& members, const std::string& backend = "") {
  return refusal(fmt::format(R"({{"disks": [{{"backend": {{"type": "file", "path": "a"{}}}{}}}]}})", backend, members));
}

std::string nbd_disk(const std::string& backend) {
  return refusal(fmt::format(R"({{"disks": [{{"backend": {{"type": "nbd", {}}}}}]}})", backend));
}

std::string limited_disk(const std::string& throttle) {
  return file_disk(fmt::format(R"(, "throttle": {{{}}})", throttle));
}

std::string share(const std::string& members) {
  return refusal(fmt::format(R"({{"shares": [{{"path": "folder", "tag": "home", {}}}]}})", members));
}

} // namespace

TEST_CASE("an unknown word in a disk is rejected, and the error lists the known ones") {
  CHECK(file_disk("") == "not refused");
  CHECK_THAT(file_disk(R"(, "interface": "virtoi")"), ContainsSubstring("did you mean \"virtio\"?"));
  CHECK_THAT(file_disk(R"(, "cache": "writeback2")"), ContainsSubstring("disks[0].cache: found \"writeback2\""));
  CHECK_THAT(file_disk(R"(, "discard": "on")"), ContainsSubstring("expected \"unmap\" or \"ignore\""));
  CHECK_THAT(file_disk("", R"(, "format": "qcow3")"), ContainsSubstring("disks[0].backend.format: found \"qcow3\""));
  CHECK_THAT(file_disk("", R"(, "format": "file")"), ContainsSubstring("disks[0].backend.format: found \"file\""));
}

TEST_CASE("a disk is read-only only where that exists, and must be where QEMU cannot write") {
  for (const char* interface : {"ide", "sata"})
    CHECK_THAT(file_disk(fmt::format(R"(, "readOnly": true, "interface": "{}")", interface)),
               ContainsSubstring("disks[0].readOnly: found true") && ContainsSubstring("\"virtio\", \"scsi\""));
  for (const char* interface : {"virtio", "scsi", "nvme"})
    CHECK(file_disk(fmt::format(R"(, "readOnly": true, "interface": "{}")", interface)) == "not refused");
  CHECK_THAT(file_disk("", R"(, "format": "dmg")"), ContainsSubstring("disks[0].readOnly: found false, expected true"));
  CHECK(file_disk(R"(, "readOnly": true)", R"(, "format": "dmg")") == "not refused");
}

TEST_CASE("two disks cannot write to the same file") {
  const auto two = [](const char* first, const char* second) {
    return refusal(fmt::format(R"({{"disks": [{{"backend": {{"type": "file", "path": "a"}}{}}},
                                              {{"backend": {{"type": "file", "path": "a"}}{}}}]}})",
                               first, second));
  };
  CHECK_THAT(two("", ""), ContainsSubstring("disks[1].backend.path: found \"/vm/a\", which disks[0] has, too"));
  CHECK_THAT(two(R"(, "readOnly": true)", ""), ContainsSubstring("disks[1].backend.path: "));
  CHECK(two(R"(, "readOnly": true)", R"(, "readOnly": true)") == "not refused");
}

TEST_CASE("contradictory or empty limits are rejected") {
  CHECK(limited_disk(R"("bps": 1000, "bpsMax": 1000, "burstLength": 5)") == "not refused");
  CHECK_THAT(limited_disk(R"("bps": 1000, "bpsRead": 1)"),
             ContainsSubstring("disks[0].throttle.bps: says the same as bpsRead and bpsWrite"));
  CHECK_THAT(limited_disk(R"("iops": 1000, "iopsWrite": 1)"), ContainsSubstring("disks[0].throttle.iops: "));
  CHECK_THAT(limited_disk(R"("bps": 1000, "bpsMax": 999)"),
             ContainsSubstring("disks[0].throttle.bpsMax: found 999, expected at least 1000"));
  CHECK_THAT(limited_disk(R"("iopsMax": 999)"),
             ContainsSubstring("disks[0].throttle.iopsMax: has no effect without iops"));
  CHECK_THAT(limited_disk(R"("iops": 1, "burstLength": 5)"),
             ContainsSubstring("disks[0].throttle.burstLength: has no effect without bpsMax or iopsMax"));
  CHECK_THAT(limited_disk(R"("group": "0")"), ContainsSubstring("disks[0].throttle.group: found \"0\""));
  CHECK_THAT(limited_disk(R"("bps": "2000T")"), ContainsSubstring("disks[0].throttle.bps: "));
}

TEST_CASE("disks of one group have the same limits, or only one of them sets them") {
  const auto group = [](const char* first, const char* second, const char* more = "") {
    return refusal(fmt::format(
        R"({{"disks": [{{"backend": {{"type": "file", "path": "a"}}, "throttle": {{"group": "g"{}}}}},
                       {{"backend": {{"type": "file", "path": "b"}}, "throttle": {{"group": "g"{}}}}}]{}}})",
        first, second, more));
  };
  CHECK(group(R"(, "bps": 1)", "") == "not refused");
  CHECK(group("", R"(, "bps": 1)") == "not refused");
  CHECK(group(R"(, "bps": 1)", R"(, "bps": 1)") == "not refused");
  CHECK_THAT(group(R"(, "bps": 1)", R"(, "bps": 2)"),
             ContainsSubstring("disks[1].throttle: found other limits, expected those of disks[0]"));
  CHECK_THAT(group("", "", R"(, "secrets": [{"id": "g", "data": "x"}])"),
             ContainsSubstring("disks[0].throttle.group: found the id \"g\", which a secret has, too"));
  CHECK_THAT(refusal(R"({"disks": [{"backend": {"type": "file", "path": "a"}, "throttle": {"group": "ram"}}]})"),
             ContainsSubstring("which the memory has, too"));
}

TEST_CASE("an NBD server has exactly one address, and TLS needs credentials") {
  CHECK(nbd_disk(R"("socketPath": "a")") == "not refused");
  CHECK(nbd_disk(R"("host": "a", "tls": true, "tlsDir": "tls")") == "not refused");
  CHECK_THAT(nbd_disk(R"("export": "a")"), ContainsSubstring("disks[0].backend: found neither socketPath nor host"));
  CHECK_THAT(nbd_disk(R"("host": "a", "socketPath": "a")"), ContainsSubstring("found socketPath and host"));
  CHECK_THAT(nbd_disk(R"("port": 1, "socketPath": "a")"),
             ContainsSubstring("disks[0].backend.port: has no effect without host"));
  CHECK_THAT(nbd_disk(R"("host": "a", "tls": true)"),
             ContainsSubstring("disks[0].backend.tls: found true, expected either tlsDir, a folder with ca-cert.pem"));
  CHECK_THAT(nbd_disk(R"("host": "a", "tls": true, "tlsDir": "b", "tlsCreds": "c")"),
             ContainsSubstring("found both tlsDir and tlsCreds"));
  CHECK_THAT(nbd_disk(R"("host": "a", "tlsDir": "b")"),
             ContainsSubstring("disks[0].backend.tlsDir: has no effect without \"tls\": true"));
}

TEST_CASE("secrets that disks refer to must exist") {
  const std::string rbd = R"("disks": [{"backend": {"type": "rbd", "pool": "p", "image": "i", "keySecret": "kye"}}])";
  CHECK_THAT(refusal("{" + rbd + "}"), ContainsSubstring("disks[0].backend.keySecret: found \"kye\"") &&
                                           ContainsSubstring("no secret is described"));
  CHECK_THAT(refusal("{" + rbd + R"(, "secrets": [{"id": "key", "data": "eA=="}]})"),
             ContainsSubstring("did you mean \"key\"?"));
  CHECK_THAT(refusal("{" + rbd + R"(, "secrets": [{"id": "kye", "data": "eA=="}]})"),
             ContainsSubstring("disks[0].backend.keySecret: found \"kye\", a secret of format \"raw\""));
  CHECK(refusal("{" + rbd + R"(, "secrets": [{"id": "kye", "data": "eA==", "format": "base64"}]})") == "not refused");
  const auto iscsi = [](const char* more) {
    return refusal(fmt::format(
        R"({{"disks": [{{"backend": {{"type": "iscsi", "portal": "h:1", "target": "iqn.x"{}}}}}],
             "secrets": [{{"id": "s", "data": "x"}}]}})",
        more));
  };
  CHECK(iscsi(R"(, "user": "u", "passwordSecret": "s")") == "not refused");
  CHECK_THAT(iscsi(R"(, "user": "u")"), ContainsSubstring("found user without passwordSecret"));
  CHECK_THAT(iscsi(R"(, "passwordSecret": "s")"), ContainsSubstring("found passwordSecret without user"));
  CHECK_THAT(iscsi(R"(, "lun": 256)"), ContainsSubstring("disks[0].backend.lun: "));
}

TEST_CASE("drives have controllers that the machine supports") {
  const auto on = [](const char* machine, const char* rest) {
    return refusal(fmt::format(R"({{"machine": "{}", {}}})", machine, rest));
  };
  const char* ide = R"("cdroms": [{"interface": "ide"}])";
  CHECK(on("q35", ide) == "not refused");
  CHECK(on("pc", ide) == "not refused");
  CHECK_THAT(on("microvm", ide), ContainsSubstring("cdroms[0].interface: found \"ide\", expected \"scsi\", as the "));
  CHECK_THAT(on("microvm", R"("cdroms": [{}])"), ContainsSubstring("found \"sata\", expected \"scsi\""));
  CHECK_THAT(on("microvm", R"("disks": [{"interface": "nvme", "backend": {"type": "file", "path": "a"}}])"),
             ContainsSubstring("found \"nvme\", expected \"virtio\" or \"scsi\""));
  const std::string one = R"({"interface": "ide"})";
  CHECK_THAT(on("pc", fmt::format(R"("cdroms": [{0}, {0}, {0}, {0}, {0}])", one).c_str()),
             ContainsSubstring("cdroms[4].interface: found a fifth IDE drive"));
}

TEST_CASE("a format or storage backend that this QEMU does not have is rejected by name") {
  QemuInfo qemu = x86();
  qemu.features = {"blockdev/file", "blockdev/raw"};
  const auto disk = [&](const char* backend) {
    return refusal(fmt::format(R"({{"disks": [{{"backend": {}}}]}})", backend), qemu, errc::not_supported);
  };
  CHECK(disk(R"({"type": "file", "path": "a"})") == "not refused");
  CHECK_THAT(
      disk(R"({"type": "file", "path": "a.vdi"})"),
      ContainsSubstring("disks[0].backend.format: this QEMU (/usr/bin/qemu-system-x86_64, version 7.2.22) has no "
                        "block driver \"vdi\""));
  CHECK_THAT(disk(R"({"type": "iscsi", "portal": "a", "target": "b"})"),
             ContainsSubstring("disks[0].backend.type: ") &&
                 ContainsSubstring("block driver \"iscsi\" (Debian has it"));
}

TEST_CASE("a share has a valid, unique tag") {
  CHECK_THAT(share(R"("type": "nfs")"), ContainsSubstring("shares[0].type: found \"nfs\""));
  CHECK_THAT(share(R"("securityModel": "none")"),
             ContainsSubstring("shares[0].securityModel: has no effect for a share that is not of type \"9p\""));
  CHECK_THAT(refusal(R"({"shares": [{"type": "9p", "path": "a", "tag": "123456789012345678901234567890123456"}]})"),
             ContainsSubstring("shares[0].tag: found 36 bytes, expected at most 35"));
  CHECK_THAT(
      refusal(R"({"shares": [{"type": "9p", "path": "a", "tag": "t"}, {"type": "9p", "path": "b", "tag": "t"}]})"),
      ContainsSubstring("shares[1].tag: found \"t\", which shares[0] has, too"));
}
