// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// Disks, as QEMU has them.
#include "ask.hpp"
#include "golden.hpp"
#include "machine.hpp"
#include "run.hpp"
#include "sample_files.hpp"
#include "small_vm.hpp"
#include "temp_dir.hpp"

#include <qemuctl/error.hpp>
#include <qemuctl/instance.hpp>

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <vector>

using namespace qemuctl;
using Catch::Matchers::ContainsSubstring;
using test::Answers;
using test::ask;
using test::describe;
using test::human;
using test::property;
using test::while_running;

namespace {

const test::Question blocks{"query-block", {}};

/// The entry of a drive in the reply to `query-block`.
Json drive(const Json& reply, const std::string& id) {
  for (const Json& entry : reply.as_array()) {
    const std::string& qdev = entry.at("qdev").as_string();
    if (qdev == id || qdev == fmt::format("/machine/peripheral/{}/virtio-backend", id)) return entry;
  }
  FAIL("there is no drive " << id << " in " << reply.dump());
  return {};
}

Json medium(const Json& reply, const std::string& id) {
  return drive(reply, id).at("inserted");
}

/// 512-byte blocks that a file takes.
std::int64_t blocks_of(const std::filesystem::path& file) {
  struct stat info {};
  REQUIRE(::stat(file.c_str(), &info) == 0);
  return info.st_blocks;
}

} // namespace

QEMU_TEST_CASE("disks have their formats, serial numbers and boot order") {
  const test::TempDir dir;
  const VmConfig config = describe(R"({"disks": [
    {"id": "system", "backend": {"type": "file", "path": "a.qcow2"}, "serial": "SN,1", "bootIndex": 1},
    {"id": "data", "backend": {"type": "file", "path": "b.img"}, "bootIndex": 0}
  ]})",
                                   dir, qemu);
  const std::vector<Json> answers = ask(config, {blocks, property("/machine/peripheral/system", "serial"),
                                                 property("/machine/peripheral/system", "bootindex"),
                                                 property("/machine/peripheral/data", "bootindex")});
  CHECK(medium(answers[0], "system").at("drv") == Json("qcow2"));
  CHECK(medium(answers[0], "system").at("node-name") == Json("system"));
  CHECK(medium(answers[0], "data").at("drv") == Json("raw"));
  CHECK(answers[1] == Json("SN,1"));
  CHECK(answers[2] == Json(1));
  CHECK(answers[3] == Json(0));
}

QEMU_TEST_CASE("read-only disks are read-only on every interface that supports it") {
  for (const std::string interface : {"virtio", "scsi", "nvme"}) {
    INFO(interface);
    const test::TempDir dir;
    const VmConfig config = describe(fmt::format(R"({{"disks": [
          {{"id": "ro", "backend": {{"type": "file", "path": "a.img"}}, "interface": "{0}", "readOnly": true}},
          {{"id": "rw", "backend": {{"type": "file", "path": "b.img"}}, "interface": "{0}"}}]}})",
                                                 interface),
                                     dir, qemu);
    const Json reply = ask(config, {blocks})[0];
    CHECK(medium(reply, "ro").at("ro") == Json(true));
    CHECK(medium(reply, "rw").at("ro") == Json(false));
  }
}

QEMU_TEST_CASE("a disk with automatic read-only is read-only when its file cannot be written") {
  const test::TempDir dir;
  VmConfig config = describe(R"({"disks": [
    {"id": "a", "backend": {"type": "file", "path": "a.img", "autoReadOnly": true}},
    {"id": "b", "backend": {"type": "file", "path": "b.img", "autoReadOnly": true}}]})",
                             dir, qemu);
  // Nobody can open this one for writing, not even root.
  std::filesystem::remove(dir / "a.img");
  std::filesystem::create_symlink("/proc/sys/kernel/ostype", dir / "a.img");
  const Json reply = ask(config, {blocks})[0];
  CHECK(medium(reply, "a").at("ro") == Json(true));
  CHECK(medium(reply, "b").at("ro") == Json(false));
}

QEMU_TEST_CASE("each cache mode sets the host's and the guest's caching") {
  struct Mode {
    const char* word;
    bool direct, no_flush, writeback;
  };
  for (const Mode& mode : {Mode{"none", true, false, true}, Mode{"writeback", false, false, true},
                           Mode{"writethrough", false, false, false}, Mode{"directsync", true, false, false},
                           Mode{"unsafe", false, true, true}}) {
    const test::TempDir dir;
    std::string disks;
    for (const std::string interface : {"virtio", "scsi", "sata", "nvme"})
      disks += fmt::format(
          R"({0}{{"id": "on-{1}", "backend": {{"type": "file", "path": "{1}"}}, "interface": "{1}", "cache": "{2}"}})",
          disks.empty() ? "" : ",", interface, mode.word);
    const VmConfig config = describe(fmt::format(R"({{"disks": [{}]}})", disks), dir, qemu);
    const Json reply = ask(config, {blocks})[0];
    for (const DiskConfig& disk : config.disks) {
      INFO(mode.word << " " << disk.id);
      const Json cache = medium(reply, disk.id).at("cache");
      CHECK(cache.at("direct") == Json(mode.direct));
      CHECK(cache.at("no-flush") == Json(mode.no_flush));
      CHECK(cache.at("writeback") == Json(mode.writeback));
    }
  }
}

QEMU_TEST_CASE("discarded blocks are returned to the host if configured") {
  const test::TempDir dir;
  const VmConfig config = describe(R"({"disks": [
    {"id": "unmap", "backend": {"type": "file", "path": "a.img"}, "discard": "unmap"},
    {"id": "throttled", "backend": {"type": "file", "path": "b.img"}, "discard": "unmap", "throttle": {"iops": 9999}},
    {"id": "ignore", "backend": {"type": "file", "path": "c.img"}, "discard": "ignore"},
    {"id": "default", "backend": {"type": "file", "path": "d.img"}}]})",
                                   dir, qemu);
  for (const char* file : {"a.img", "b.img", "c.img", "d.img"}) test::write_file(dir / file, std::string(1 << 20, 'x'));
  ::sync();
  while_running(config, [&](const Answers& answer) {
    for (const auto& [id, file, discarded] :
         {std::tuple("unmap", "a.img", true), std::tuple("throttled", "b.img", true),
          std::tuple("ignore", "c.img", false), std::tuple("default", "d.img", false)}) {
      INFO(id);
      const std::int64_t before = blocks_of(dir / file);
      REQUIRE(before > 0);
      answer(human(fmt::format(R"(qemu-io -d /machine/peripheral/{}/virtio-backend "discard 0 1M")", id)));
      CHECK(blocks_of(dir / file) == (discarded ? 0 : before));
    }
  });
}

QEMU_TEST_CASE("disks of one group share its limits, and other disks have their own") {
  const test::TempDir dir;
  const VmConfig config = describe(R"({"disks": [
    {"id": "a", "backend": {"type": "file", "path": "a.img"}, "throttle": {"group": "tg0"}},
    {"id": "b", "backend": {"type": "file", "path": "b.img"}, "interface": "scsi",
     "throttle": {"group": "tg0", "bps": "100M", "iops": 1000, "bpsMax": "200M", "iopsMax": 2000, "burstLength": 3}},
    {"id": "c", "backend": {"type": "file", "path": "c.img"}, "throttle": {"bps": 1000, "bpsMax": 2000}},
    {"id": "d", "backend": {"type": "file", "path": "d.img"},
     "throttle": {"bpsRead": 1, "bpsWrite": 2, "iopsRead": 3, "iopsWrite": 4}}]})",
                                   dir, qemu);
  while_running(config, [](const Answers& answer) {
    const Json reply = answer(blocks);
    const auto group_of = [&](const std::string& id) {
      // QEMU reports the name of a node's group only as part of this.
      const std::string options = medium(reply, id).at("file").as_string();
      REQUIRE(options.starts_with("json:"));
      return parse_json(options.substr(5)).at("throttle-group").as_string();
    };
    CHECK(group_of("a") == "tg0");
    CHECK(group_of("b") == "tg0");
    CHECK(group_of("c") == "c-throttle");
    const auto limits = [&](const std::string& group) { return answer(property("/objects/" + group, "limits")); };
    const Json shared = limits("tg0");
    CHECK(shared.at("bps-total") == Json(100 << 20));
    CHECK(shared.at("iops-total") == Json(1000));
    CHECK(shared.at("bps-total-max") == Json(200 << 20));
    CHECK(shared.at("iops-total-max") == Json(2000));
    CHECK(shared.at("bps-total-max-length") == Json(3));
    CHECK(shared.at("iops-total-max-length") == Json(3));
    CHECK(limits(group_of("c")).at("bps-total-max") == Json(2000));
    const Json separate = limits(group_of("d"));
    CHECK(separate.at("bps-read") == Json(1));
    CHECK(separate.at("bps-write") == Json(2));
    CHECK(separate.at("iops-read") == Json(3));
    CHECK(separate.at("iops-write") == Json(4));
    CHECK(separate.at("bps-total") == Json(0));
  });
}

QEMU_TEST_CASE("changing the limits of a group affects all its disks while the VM runs") {
  const test::TempDir dir;
  const VmConfig config = describe(R"({"disks": [
    {"id": "a", "backend": {"type": "file", "path": "a.qcow2"}, "throttle": {"group": "tg0", "bps": 100, "bpsMax": 200}},
    {"id": "b", "backend": {"type": "file", "path": "b.img"}, "interface": "scsi", "throttle": {"group": "tg0"}},
    {"id": "c", "backend": {"type": "file", "path": "c.img"}}]})",
                                   dir, qemu);
  test::run([&]() -> asio::awaitable<void> {
    LaunchOptions options = test::for_test();
    options.paused = true;
    Instance vm = co_await Instance::launch(config, options);
    std::vector<BlockDevice> disks = co_await vm.query_block();
    REQUIRE(disks.size() == 3);
    CHECK(disks[0].driver == "qcow2");
    CHECK(disks[0].file == (dir / "a.qcow2").string());
    CHECK(disks[1].file == (dir / "b.img").string());
    for (std::size_t i = 0; i < 2; ++i) CHECK(disks[i].throttle.bps == 100);
    CHECK(disks[2].throttle == IoThrottle{});
    IoThrottle limits;
    limits.bps = 300;
    limits.iops_read = 5;
    limits.iops_write = 6;
    co_await vm.set_io_throttle("b", limits);
    disks = co_await vm.query_block();
    for (std::size_t i = 0; i < 2; ++i) CHECK(disks[i].throttle == limits);
    CHECK(disks[2].throttle == IoThrottle{});
    co_await vm.set_io_throttle("a", IoThrottle{});
    disks = co_await vm.query_block();
    CHECK(disks[1].throttle == IoThrottle{});
  });
}

QEMU_TEST_CASE("an NVMe disk has a serial number, and a SCSI disk a controller") {
  const test::TempDir dir;
  const VmConfig config = describe(R"({"disks": [
    {"backend": {"type": "file", "path": "a.img"}, "interface": "nvme"},
    {"id": "an-id-that-is-longer-than-a-serial", "backend": {"type": "file", "path": "b.img"}, "interface": "nvme"},
    {"backend": {"type": "file", "path": "c.img"}, "interface": "scsi", "serial": "SN-1"},
    {"backend": {"type": "file", "path": "d.img"}, "interface": "scsi"}]})",
                                   dir, qemu);
  const std::vector<Json> answers = ask(
      config, {property("/machine/peripheral/disk0", "serial"),
               property("/machine/peripheral/an-id-that-is-longer-than-a-serial", "serial"),
               property("/machine/peripheral/disk2", "serial"), property("/machine/peripheral/disk2", "parent_bus"),
               property("/machine/peripheral/disk2", "scsi-id"), property("/machine/peripheral/disk3", "parent_bus"),
               property("/machine/peripheral/disk3", "scsi-id")});
  CHECK(answers[0] == Json("disk0"));
  CHECK(answers[1] == Json("an-id-that-is-longer"));
  CHECK(answers[2] == Json("SN-1"));
  CHECK(answers[3] == Json("/machine/peripheral/scsi/virtio-backend/scsi.0"));
  CHECK(answers[4] == Json(0));
  CHECK(answers[5] == answers[3]);
  CHECK(answers[6] == Json(1));
}

QEMU_TEST_CASE("disks without ids, or with long ids, get unique node names") {
  const test::TempDir dir;
  const VmConfig config = describe(R"({"disks": [
    {"backend": {"type": "file", "path": "a.img"}},
    {"backend": {"type": "file", "path": "b.img"}},
    {"id": "a-disk-whose-name-is-longer-than-a-node-s", "backend": {"type": "file", "path": "c.img"}},
    {"id": "a-disk-whose-name-is-longer-than-another", "backend": {"type": "file", "path": "d.img"},
     "throttle": {"bps": 1000}}]})",
                                   dir, qemu);
  const Json reply = ask(config, {blocks})[0];
  CHECK(medium(reply, "disk0").at("file") == Json((dir / "a.img").string()));
  CHECK(medium(reply, "disk1").at("file") == Json((dir / "b.img").string()));
  CHECK(medium(reply, "a-disk-whose-name-is-longer-than-a-node-s").at("file") == Json((dir / "c.img").string()));
  CHECK(medium(reply, "a-disk-whose-name-is-longer-than-another").at("drv") == Json("throttle"));
}

QEMU_TEST_CASE("the short form of a drive is equivalent") {
  const test::TempDir dir;
  const VmConfig config = describe(R"({"drives": [
    {"file": "a.qcow2"}, {"file": "b.img", "format": "raw", "interface": "scsi", "serial": "SN-2", "readOnly": true,
     "cache": "writethrough"}]})",
                                   dir, qemu);
  const std::vector<Json> answers = ask(config, {blocks, property("/machine/peripheral/disk1", "serial")});
  CHECK(medium(answers[0], "disk0").at("drv") == Json("qcow2"));
  const Json second = medium(answers[0], "disk1");
  CHECK(second.at("drv") == Json("raw"));
  CHECK(second.at("ro") == Json(true));
  CHECK(second.at("cache").at("writeback") == Json(false));
  CHECK(answers[1] == Json("SN-2"));
}

QEMU_TEST_CASE("a read-only disk needs no write permission") {
  const test::TempDir dir;
  const VmConfig config =
      describe(R"({"disks": [{"backend": {"type": "file", "path": "a.img"}, "readOnly": true}]})", dir, qemu);
  std::filesystem::permissions(dir / "a.img", std::filesystem::perms::owner_read);
  CHECK(ask(config, {{"query-status", {}}})[0].at("status") == Json("prelaunch"));
}

QEMU_TEST_CASE("file names with special characters reach QEMU unchanged") {
  const test::TempDir dir;
  VmConfig config = describe("{}", dir, qemu);
  std::vector<std::string> paths;
  for (const char* name : {"a,b", "it's", "\"quoted\"", "json:{}", "nbd:x", "b\\n", "\xC3\xBC"}) {
    FileDiskBackend file;
    file.path = paths.emplace_back(dir / name);
    config.disks.emplace_back().backend = file;
  }
  test::make_files(config);
  const Json reply = ask(config, {blocks})[0];
  REQUIRE(reply.size() == config.disks.size());
  for (std::size_t i = 0; i < reply.size(); ++i) {
    INFO(paths[i]);
    const Json& image = reply.at(i).at("inserted").at("image");
    // QEMU shows some names as JSON options.
    const std::string shown = image.at("filename").as_string();
    CHECK((shown == paths[i] || shown.starts_with("json:")));
    CHECK(reply.at(i).at("inserted").at("drv") == Json("raw"));
  }
}
