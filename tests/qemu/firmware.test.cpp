// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// UEFI firmware: whether QEMU has it, and whether it runs.
#include "firmware.hpp"

#include "ask.hpp"
#include "file_watch.hpp"
#include "golden.hpp"
#include "machine.hpp"
#include "skip.hpp"
#include "temp_dir.hpp"

#include <qemuctl/error.hpp>

#include <fmt/format.h>

#include <string>

using namespace qemuctl;
using Catch::Matchers::ContainsSubstring;
using test::Answers;
using test::describe;
using test::property;
using test::while_running;

namespace {

void need_ovmf() {
  const detail::FirmwareNeeds needs{"x86_64", "q35", true};
  if (!detail::find_firmware(detail::firmware_folders(), needs))
    test::skip("there is no UEFI firmware with keys: tools/setup installs it");
}

const test::Question resume{"cont", {}};

} // namespace

QEMU_TEST_CASE("firmware and variables are in the machine's flash memory") {
  const test::TempDir dir;
  const VmConfig config =
      describe(R"({"efi": {"code": "a,code", "vars": "vars", "varsTemplate": "template"}})", dir, qemu);
  while_running(config, [&](const Answers& answer) {
    CHECK(answer(property("/machine", "pflash0")) == Json("pflash0"));
    CHECK(answer(property("/machine", "pflash1")) == Json("pflash1"));
    const Json nodes = answer({"query-named-block-nodes", {}});
    const auto node = [&](const std::string& name) {
      for (const Json& one : nodes.as_array())
        if (one.at("node-name") == Json(name)) return one;
      FAIL("there is no node " << name);
      return Json();
    };
    CHECK(node("pflash0").at("file") == Json((dir / "a,code").string()));
    CHECK(node("pflash0").at("ro") == Json(true));
    CHECK(node("pflash1").at("file") == Json((dir / "vars").string()));
    CHECK(node("pflash1").at("ro") == Json(false));
    CHECK(answer(property("/machine/system.flash0", "secure")) == Json(false));
  });
  CHECK(test::read_file(dir / "vars") == test::read_file(dir / "template"));
}

QEMU_TEST_CASE("a VM's variable store is created once and then kept") {
  const test::TempDir dir;
  VmConfig config =
      describe(R"({"efi": {"code": "code", "vars": "new folder/vars", "varsTemplate": "template"}})", dir, qemu);
  test::ask(config, {});
  REQUIRE(test::read_file(dir / "new folder/vars") == test::read_file(dir / "template"));
  const auto mode = std::filesystem::status(dir / "new folder/vars").permissions();
  CHECK(mode == (std::filesystem::perms::owner_read | std::filesystem::perms::owner_write));
  const std::string changed(128 * 1024, 'x');
  test::write_file(dir / "new folder/vars", changed);
  test::ask(config, {});
  CHECK(test::read_file(dir / "new folder/vars") == changed);
  // The copy leaves nothing else behind.
  CHECK(std::distance(std::filesystem::directory_iterator(dir / "new folder"), {}) == 1);
}

QEMU_TEST_CASE("flash memory created by extra arguments is used, too") {
  const test::TempDir dir;
  const VmConfig config = describe(R"({"machine": {"type": "q35", "pflash0": "mine"},
    "extraArgs": ["-blockdev", "null-co,node-name=mine,size=4096,read-zeroes=on,read-only=on"]})",
                                   dir, qemu);
  CHECK(test::ask(config, {property("/machine", "pflash0")})[0] == Json("mine"));
}

QEMU_TEST_CASE("UEFI firmware runs, and keeps its variables") {
  need_ovmf();
  for (const bool secure_boot : {false, true}) {
    INFO("Secure Boot: " << secure_boot);
    const test::TempDir dir;
    std::filesystem::create_directory(dir / "state");
    const VmConfig config =
        describe(fmt::format(R"({{"efi": {{"vars": "state/vars", "secureBoot": {}}}, "cpu": {{"model": "qemu64"}}}})",
                             secure_boot),
                 dir, qemu);
    test::FolderWatch folder(dir / "state");
    while_running(config, [&](const Answers& answer) {
      CHECK(answer(property("/machine", "pflash1")) == Json("pflash1"));
      CHECK(answer(property("/machine/system.flash0", "secure")) == Json(secure_boot));
      CHECK((answer(property("/machine", "smm")) == Json("on")) == secure_boot);
      const std::string before = test::read_file(dir / "state/vars");
      answer(resume);
      CHECK(folder.wait_until([&] { return test::read_file(dir / "state/vars") != before; }));
    });
  }
}

QEMU_TEST_CASE("missing firmware is rejected before anything is started") {
  const test::TempDir dir;
  VmConfig config = describe("{}", dir, qemu);
  EfiConfig& efi = config.efi.emplace();
  efi.code = dir / "code";
  efi.vars = dir / "vars";
  CHECK_THROWS_WITH(test::ask(config, {}), ContainsSubstring("efi.code: ") &&
                                               ContainsSubstring("there is no efi.varsTemplate to make it from"));
  CHECK_FALSE(std::filesystem::exists(dir / "test.log"));
  efi.secure_boot = true;
  config.machine.type = "pc";
  test::write_file(efi.code, std::string(4096, 'x'));
  test::write_file(efi.vars, std::string(4096, 'x'));
  CHECK_THROWS_WITH(test::ask(config, {}), ContainsSubstring("efi.secureBoot: found machine \"pc\""));
}
