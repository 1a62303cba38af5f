// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// Folders of the host, as QEMU has them.
#include "ask.hpp"
#include "machine.hpp"
#include "processes.hpp"
#include "temp_dir.hpp"

#include <qemuctl/error.hpp>

#include <filesystem>
#include <string>
#include <vector>

using namespace qemuctl;
using Catch::Matchers::ContainsSubstring;
using test::describe;
using test::property;

QEMU_TEST_CASE("a virtiofs share has its tag, shared memory, and a server that ends with the VM") {
  const test::TempDir dir;
  std::filesystem::create_directory(dir / "shared");
  const VmConfig config = describe(R"({"memory": 64, "shares": [{"path": "shared", "tag": "home"}]})", dir, qemu);
  FileDescriptor server;
  test::while_running(config, [&](const test::Answers& answers) {
    CHECK(answers(property("/machine/peripheral/share0", "tag")) == Json("home"));
    CHECK(answers({"query-memdev", {}}).at(0).at("share") == Json(true));
    server = test::process_with((dir / "shared").string());
    REQUIRE(server);
  });
  CHECK(test::ends(server)); // the VM was killed
  CHECK_FALSE(std::filesystem::exists(dir / "test.share0"));
}

QEMU_TEST_CASE("the server of a share does not outlive a VM that fails to start") {
  const test::TempDir dir;
  std::filesystem::create_directory(dir / "shared");
  const VmConfig config =
      describe(R"({"shares": [{"path": "shared", "tag": "home"}], "extraArgs": ["-nonsense"]})", dir, qemu);
  CHECK_THROWS_AS(test::ask(config, {}), Error);
  const FileDescriptor server = test::process_with((dir / "shared").string());
  CHECK((!server || test::ends(server)));
}

QEMU_TEST_CASE("a 9p share has its tag and folder") {
  const test::TempDir dir;
  std::filesystem::create_directory(dir / "a, b");
  const VmConfig config =
      describe(R"({"shares": [{"type": "9p", "path": "a, b", "tag": "docs", "readOnly": true}]})", dir, qemu);
  const std::vector<Json> answers = test::ask(config, {property("/machine/peripheral/share0", "mount_tag")});
  CHECK(answers[0] == Json("docs"));
}

TEST_CASE("options that virtiofs does not support are rejected") {
  const test::TempDir dir;
  const auto refusal = [&](const std::string& share) {
    try {
      describe(R"({"shares": [)" + share + "]}", dir, "/usr/bin/true");
      return std::string("taken");
    } catch (const Error& error) {
      return std::string(error.what());
    }
  };
  CHECK_THAT(refusal(R"({"path": "x", "tag": "t", "readOnly": true})"), ContainsSubstring("shares[0].readOnly: "));
  CHECK_THAT(refusal(R"({"path": "a,b", "tag": "t"})"), ContainsSubstring("shares[0].path: "));
  CHECK_THAT(refusal(R"({"path": "x", "tag": "t"}, {"path": "y", "tag": "t"})"), ContainsSubstring("shares[1].tag: "));
  CHECK_THAT(refusal(R"({"memory": 1})"), ContainsSubstring("shares[0]"));
}
