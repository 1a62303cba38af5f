// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// Networks, as QEMU has them.
#include "ask.hpp"
#include "machine.hpp"
#include "temp_dir.hpp"

#include <vector>

using namespace qemuctl;
using Catch::Matchers::ContainsSubstring;
using test::ask;
using test::describe;
using test::human;
using test::property;

QEMU_TEST_CASE("user networks have their MAC address and their forwards") {
  const test::TempDir dir;
  const VmConfig config = describe(R"({"networks": [
    {"id": "lan", "backend": {"type": "user", "hostfwd": ["tcp:127.0.0.1:0-:22"]}, "macAddr": "52:54:00:aa:bb:cc"}, {}
  ]})",
                                   dir, qemu);
  const std::vector<Json> answers =
      ask(config, {property("/machine/peripheral/lan", "mac"), human("info usernet"), human("info network")});
  CHECK(answers[0] == Json("52:54:00:aa:bb:cc"));
  CHECK_THAT(answers[1].as_string(), ContainsSubstring("HOST_FORWARD"));
  CHECK_THAT(answers[2].as_string(), ContainsSubstring("net1-netdev"));
}
