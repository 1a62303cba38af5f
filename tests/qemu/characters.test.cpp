// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// Serial ports and character devices, as QEMU has them.
#include "ask.hpp"
#include "machine.hpp"
#include "temp_dir.hpp"

#include <filesystem>
#include <vector>

using namespace qemuctl;
using test::ask;
using test::describe;
using test::property;

QEMU_TEST_CASE("a serial port writes to its file") {
  const test::TempDir dir;
  VmConfig config = describe(R"({"serials": [{"type": "null"}, {"type": "file", "path": "a,b.log"}]})", dir, qemu);
  const std::vector<Json> answers =
      ask(config, {{"query-chardev", {}}, property("/machine/peripheral/serial1", "index")});
  CHECK(answers[1] == Json(1));
  CHECK(std::filesystem::exists(dir / "a,b.log"));
}
