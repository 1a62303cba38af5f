// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// Whether the options have their effect: QEMU is asked.
#include "ask.hpp"
#include "free_port.hpp"
#include "machine.hpp"
#include "sample_files.hpp"
#include "temp_dir.hpp"

#include <qemuctl/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

using namespace qemuctl;
using Catch::Matchers::ContainsSubstring;
using test::ask;
using test::describe;
using test::human;
using test::property;

QEMU_TEST_CASE("disks are read-only, have serial numbers and boot in their order") {
  const test::TempDir dir;
  const VmConfig config = describe(R"({"disks": [
    {"id": "system", "backend": {"type": "file", "path": "a.qcow2"}, "readOnly": true, "serial": "SN,1", "bootIndex": 1},
    {"id": "data", "backend": {"type": "file", "path": "b.img"}, "bootIndex": 0}
  ]})",
                                   dir, qemu);
  const std::vector<Json> answers = ask(config, {{"query-block", {}},
                                                 property("/machine/peripheral/system", "serial"),
                                                 property("/machine/peripheral/system", "bootindex"),
                                                 property("/machine/peripheral/data", "bootindex")});
  const Json& blocks = answers[0];
  REQUIRE(blocks.size() == 2);
  const Json& system = blocks.at(0).at("inserted");
  const Json& data = blocks.at(1).at("inserted");
  CHECK(system.at("ro") == Json(true));
  CHECK(system.at("drv") == Json("qcow2"));
  CHECK(system.at("node-name") == Json("system"));
  CHECK(data.at("ro") == Json(false));
  CHECK(data.at("drv") == Json("raw"));
  CHECK(answers[1] == Json("SN,1"));
  CHECK(answers[2] == Json(1));
  CHECK(answers[3] == Json(0));
}

QEMU_TEST_CASE("a read-only disk needs no right to write") {
  const test::TempDir dir;
  const VmConfig config =
      describe(R"({"disks": [{"backend": {"type": "file", "path": "a.img"}, "readOnly": true}]})", dir, qemu);
  std::filesystem::permissions(dir / "a.img", std::filesystem::perms::owner_read);
  CHECK(ask(config, {{"query-status", {}}})[0].at("status") == Json("prelaunch"));
}

QEMU_TEST_CASE("file names arrive as they are") {
  const test::TempDir dir;
  VmConfig config = describe("{}", dir, qemu);
  std::vector<std::string> paths;
  for (const char* name : {"a,b", "it's", "\"quoted\"", "json:{}", "nbd:x", "b\\n", "\xC3\xBC"}) {
    FileDiskBackend file;
    file.path = paths.emplace_back(dir / name);
    config.disks.emplace_back().backend = file;
  }
  test::make_files(config);
  const Json blocks = ask(config, {{"query-block", {}}})[0];
  REQUIRE(blocks.size() == config.disks.size());
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    INFO(paths[i]);
    const Json& image = blocks.at(i).at("inserted").at("image");
    // QEMU shows some names as options in JSON.
    const std::string shown = image.at("filename").as_string();
    CHECK((shown == paths[i] || shown.starts_with("json:")));
    CHECK(blocks.at(i).at("inserted").at("drv") == Json("raw"));
  }
}

QEMU_TEST_CASE("memory, CPUs and their topology are those described") {
  const test::TempDir dir;
  const VmConfig config =
      describe(R"({"memory": "192M", "cpu": {"model": "qemu64", "sockets": 2, "cores": 3}})", dir, qemu);
  const std::vector<Json> answers =
      ask(config, {{"query-memory-size-summary", {}}, {"query-hotpluggable-cpus", {}}, {"query-cpus-fast", {}}});
  CHECK(answers[0].at("base-memory") == Json(std::uint64_t{192} << 20));
  CHECK(answers[2].size() == 6);
  std::int64_t sockets = 0, cores = 0;
  for (const Json& cpu : answers[1].as_array()) {
    sockets = std::max(sockets, cpu.at("props").at("socket-id").as_int() + 1);
    cores = std::max(cores, cpu.at("props").at("core-id").as_int() + 1);
  }
  CHECK(sockets == 2);
  CHECK(cores == 3);
}

QEMU_TEST_CASE("what this QEMU does not have is refused before anything is started") {
  const test::TempDir dir;
  const VmConfig config = describe(R"({"networks": [{"model": "virtio-net-pcii"}]})", dir, qemu);
  try {
    ask(config, {});
    FAIL("nothing was thrown");
  } catch (const Error& error) {
    CHECK(error.code() == errc::not_supported);
    CHECK_THAT(error.what(), ContainsSubstring("networks[0].model") && ContainsSubstring("\"virtio-net-pci\""));
  }
}
