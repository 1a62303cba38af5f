// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// Disks that are somewhere else: NBD against qemu-nbd, iSCSI against tgtd, and as much of Ceph as there is without one.
#include "ask.hpp"
#include "command.hpp"
#include "file_watch.hpp"
#include "golden.hpp"
#include "machine.hpp"
#include "network_namespace.hpp"
#include "server.hpp"
#include "temp_dir.hpp"

#include <qemuctl/error.hpp>

#include <fmt/format.h>

#include <string>
#include <vector>

using namespace qemuctl;
using Catch::Matchers::ContainsSubstring;
using test::Answers;
using test::describe;
using test::human;
using test::while_running;

namespace {

constexpr std::size_t disk_size = 1 << 20;

/// A raw disk that begins with a word.
std::filesystem::path make_disk(const test::TempDir& dir) {
  test::write_file(dir / "exported", "qemuctl" + std::string(disk_size - 7, '\0'));
  return dir / "exported";
}

std::vector<std::string> nbd_server(const test::TempDir& dir, const std::vector<std::string>& options) {
  std::vector<std::string> argv{"qemu-nbd", "--format=raw", "--persistent", "--shared=0"};
  argv.insert(argv.end(), options.begin(), options.end());
  argv.push_back(make_disk(dir).string());
  return argv;
}

/// That the disk of a VM, called "disk0" and on a SCSI controller, is the exported one, and can be written.
void use_disk(const VmConfig& config, bool read_only = false) {
  while_running(config, [&](const Answers& answer) {
    const Json blocks = answer({"query-block", {}});
    REQUIRE(blocks.size() == 1);
    CHECK(blocks.at(0).at("inserted").at("ro") == Json(read_only));
    CHECK(blocks.at(0).at("inserted").at("image").at("virtual-size") == Json(disk_size));
    answer(human("qemu-io -d disk0 \"read -v 0 512\""));
    if (!read_only) answer(human("qemu-io -d disk0 \"write -P 0x5a 4096 512\""));
    answer({"quit", {}}); // it flushes its stdout on exit
  });
  const std::string log = test::read_file(std::filesystem::path(config.socket_dir) / "test.log");
  CHECK_THAT(log, ContainsSubstring("71 65 6d 75 63 74 6c 00")); // "qemuctl"
  if (!read_only) CHECK_THAT(log, ContainsSubstring("wrote 512/512 bytes at offset 4096"));
  std::filesystem::remove(std::filesystem::path(config.socket_dir) / "test.log");
}

std::string disk(const std::string& backend, const std::string& more = "") {
  return fmt::format(R"({{"disks": [{{"interface": "scsi", "backend": {{{}}}{}}}]}})", backend, more);
}

/// Certificates for 127.0.0.1 and for a client, by one authority; as QEMU names the files.
void make_certificates(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  const auto file = [&](const std::string& name) { return (folder / name).string(); };
  const auto make = [&](const std::string& name, const std::vector<std::string>& options) {
    std::vector<std::string> argv{"openssl",
                                  "req",
                                  "-x509",
                                  "-newkey",
                                  "ec",
                                  "-pkeyopt",
                                  "ec_paramgen_curve:P-256",
                                  "-nodes",
                                  "-days",
                                  "2",
                                  "-subj",
                                  "/CN=qemuctl test " + name,
                                  "-keyout",
                                  file(name + "-key.pem"),
                                  "-out",
                                  file(name + "-cert.pem")};
    argv.insert(argv.end(), options.begin(), options.end());
    test::run_command(argv);
  };
  const auto by_authority = [&](const std::string& purpose, const std::string& name) {
    return std::vector<std::string>{"-CA",     file("ca-cert.pem"),
                                    "-CAkey",  file("ca-key.pem"),
                                    "-addext", "basicConstraints=critical,CA:FALSE",
                                    "-addext", "keyUsage=critical,digitalSignature",
                                    "-addext", "extendedKeyUsage=" + purpose,
                                    "-addext", "subjectAltName=" + name};
  };
  make("ca", {"-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"});
  make("server", by_authority("serverAuth", "IP:127.0.0.1"));
  make("client", by_authority("clientAuth", "DNS:client"));
}

void copy(const std::filesystem::path& from, const std::filesystem::path& to, const std::vector<std::string>& names) {
  std::filesystem::create_directories(to);
  for (const std::string& name : names) std::filesystem::copy_file(from / name, to / name);
}

constexpr const char* target = "iqn.2023-01.com.example:storage";

/// tgtd with its own control socket, and `exported` as unit 1 of a target for user "admin".
class IscsiTarget {
 public:
  explicit IscsiTarget(const test::TempDir& dir)
      : control_("TGT_IPC_SOCKET=" + (dir / "tgtd").string()), watch_(dir.path()),
        server_({"tgtd", "--foreground", "--iscsi", "portal=127.0.0.1:3260"}, {}, {control_}) {
    // Its socket exists once it starts; requests are answered once it is ready.
    REQUIRE(watch_.wait_until([&] { return std::filesystem::exists(dir / "tgtd.0"); }));
    admin({"--mode", "target", "--op", "new", "--tid", "1", "--targetname", target});
    admin({"--mode", "logicalunit", "--op", "new", "--tid", "1", "--lun", "1", "--backing-store",
           make_disk(dir).string()});
    admin({"--mode", "target", "--op", "bind", "--tid", "1", "--initiator-address", "ALL"});
    admin({"--mode", "account", "--op", "new", "--user", "admin", "--password", "twelve or more"});
    admin({"--mode", "account", "--op", "bind", "--tid", "1", "--user", "admin"});
  }

  std::string admin(const std::vector<std::string>& options) const {
    std::vector<std::string> argv{"env", control_, "tgtadm", "--lld", "iscsi"};
    argv.insert(argv.end(), options.begin(), options.end());
    return test::run_command(argv);
  }

 private:
  std::string control_;
  test::FolderWatch watch_;
  test::Server server_;
};

std::string iscsi_disk(const std::string& password) {
  return fmt::format(R"({{"disks": [{{"interface": "scsi", "backend": {{"type": "iscsi", "portal": "127.0.0.1:3260",
      "target": "{}", "lun": 1, "user": "admin", "passwordSecret": "password",
      "initiatorName": "iqn.2023-01.com.example:client"}}}}],
    "secrets": [{{"id": "password", "data": "{}"}}]}})",
                     target, password);
}

} // namespace

QEMU_TEST_CASE("a disk can be an export of an NBD server on a Unix socket") {
  const test::TempDir dir;
  const test::Server server(nbd_server(dir, {"--export-name=a disk"}), test::listen_on(dir / "nbd,1.sock"));
  use_disk(describe(disk(R"("type": "nbd", "socketPath": "nbd,1.sock", "export": "a disk")"), dir, qemu));
  CHECK(test::read_file(dir / "exported").substr(4096, 512) == std::string(512, '\x5a'));
  CHECK_THROWS_WITH(
      test::ask(describe(disk(R"("type": "nbd", "socketPath": "nbd,1.sock", "export": "b")"), dir, qemu), {}),
      ContainsSubstring("Requested export not available"));
}

QEMU_TEST_CASE("a disk can be an export of an NBD server on a TCP port") {
  const test::TempDir dir;
  int port = 0;
  const test::Server server(nbd_server(dir, {"--read-only"}), test::listen_on_loopback(port));
  const std::string backend = fmt::format(R"("type": "nbd", "host": "127.0.0.1", "port": {})", port);
  use_disk(describe(disk(backend, R"(, "readOnly": true, "cache": "none")"), dir, qemu), true);
  // A read-only export cannot be a writable disk.
  CHECK_THROWS_WITH(test::ask(describe(disk(backend), dir, qemu), {}), ContainsSubstring("read-only"));
}

QEMU_TEST_CASE("an NBD server is accessed over TLS, and only if its certificate is valid") {
  const test::TempDir dir;
  make_certificates(dir / "all");
  copy(dir / "all", dir / "server", {"ca-cert.pem", "server-cert.pem", "server-key.pem"});
  copy(dir / "all", dir / "client", {"ca-cert.pem", "client-cert.pem", "client-key.pem"});
  copy(dir / "all", dir / "anonymous", {"ca-cert.pem"});
  make_certificates(dir / "others");
  int port = 0;
  const test::Server server(
      nbd_server(dir,
                 {"--tls-creds=tls", fmt::format("--object=tls-creds-x509,id=tls,endpoint=server,verify-peer=on,dir={}",
                                                 (dir / "server").string())}),
      test::listen_on_loopback(port));
  const auto backend = [&](const std::string& more) {
    return fmt::format(R"("type": "nbd", "host": "127.0.0.1", "port": {}{})", port, more);
  };
  use_disk(describe(disk(backend(R"(, "tls": true, "tlsDir": "client")")), dir, qemu));
  CHECK(test::read_file(dir / "exported").substr(4096, 512) == std::string(512, '\x5a'));
  VmConfig by_id = describe(disk(backend(R"(, "tls": true, "tlsCreds": "mine")")), dir, qemu);
  by_id.extra_args = {"-object",
                      fmt::format("tls-creds-x509,id=mine,endpoint=client,dir={}", (dir / "client").string())};
  use_disk(by_id);

  const auto refusal = [&](const std::string& more) {
    try {
      test::ask(describe(disk(backend(more)), dir, qemu), {});
    } catch (const Error& error) {
      CHECK(error.code() == errc::launch_failed);
      return error.diagnostics().server_text;
    }
    return std::string("not refused");
  };
  CHECK_THAT(refusal(""), ContainsSubstring("TLS"));
  CHECK_THAT(refusal(R"(, "tls": true, "tlsDir": "others")"), ContainsSubstring("certificate"));
  CHECK(refusal(R"(, "tls": true, "tlsDir": "anonymous")") != "not refused");
}

QEMU_TEST_CASE("a disk can be an iSCSI unit, which needs the right password") {
  const test::TempDir dir;
  const test::NetworkNamespace network;
  const IscsiTarget server(dir);
  const VmConfig config = describe(iscsi_disk("twelve or more"), dir, qemu);
  use_disk(config);
  CHECK(test::read_file(dir / "exported").substr(4096, 512) == std::string(512, '\x5a'));
  while_running(config, [&](const Answers&) {
    CHECK_THAT(server.admin({"--mode", "conn", "--op", "show", "--tid", "1"}),
               ContainsSubstring("Initiator: iqn.2023-01.com.example:client"));
  });
  CHECK_THROWS_WITH(test::ask(describe(iscsi_disk("not the password"), dir, qemu), {}),
                    ContainsSubstring("Authentication failure"));
}

QEMU_TEST_CASE("QEMU accepts every option of a Ceph image, and only the cluster is missing") {
  const test::TempDir dir;
  test::write_file(dir / "ceph.conf", "[global]\nmon_host = 127.0.0.1:1\nclient_mount_timeout = 1\n");
  VmConfig config = describe(R"({"disks": [{"backend": {"type": "rbd", "pool": "rbd", "image": "vm,0", "snapshot": "v1",
      "conf": "ceph.conf", "user": "guest", "keySecret": "key", "authClientRequired": ["cephx", "none"]},
      "readOnly": true}],
    "secrets": [{"id": "key", "data": "AQAAAAAAAAAAABAAMDEyMzQ1Njc4OWFiY2RlZg==", "format": "base64"}]})",
                             dir, qemu);
  const auto refusal = [&] {
    try {
      test::ask(config, {});
    } catch (const Error& error) {
      CHECK(error.code() == errc::launch_failed);
      return error.diagnostics().server_text;
    }
    return std::string("not refused");
  };
  CHECK_THAT(refusal(), ContainsSubstring("error connecting"));
  // It would have complained: this comes after the options of the image.
  test::write_file(dir / "ceph.conf", "[global\n");
  CHECK_THAT(refusal(), ContainsSubstring("error reading conf file"));
}
