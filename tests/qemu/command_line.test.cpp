// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// Whether the options have their effect: QEMU is asked.
#include "ask.hpp"
#include "machine.hpp"
#include "temp_dir.hpp"

#include <qemuctl/error.hpp>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

using namespace qemuctl;
using Catch::Matchers::ContainsSubstring;
using test::ask;
using test::describe;

QEMU_TEST_CASE("memory, CPUs and CPU topology match the description") {
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

QEMU_TEST_CASE("a device this QEMU does not have is rejected before anything is started") {
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
