// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "firmware.hpp"

#include "catch.hpp"
#include "golden.hpp"
#include "temp_dir.hpp"

#include <qemuctl/command_line.hpp>
#include <qemuctl/error.hpp>
#include <qemuctl/vm_config_json.hpp>

#include <fmt/format.h>

#include <string>

using namespace qemuctl;
using detail::find_firmware;
using detail::Firmware;
using detail::FirmwareNeeds;

namespace {

/// A description as distributions install it.
std::string description(const std::filesystem::path& code, const std::string& features = "",
                        const std::string& machine = "pc-q35-*", const std::string& architecture = "x86_64") {
  return fmt::format(R"({{"interface-types": ["uefi"], "features": [{}],
    "mapping": {{"device": "flash", "executable": {{"filename": "{}", "format": "raw"}},
                 "nvram-template": {{"filename": "/{}.vars", "format": "raw"}}}},
    "targets": [{{"architecture": "{}", "machines": ["{}"]}}]}})",
                     features, code.string(), code.filename().string(), architecture, machine);
}

struct Folders {
  test::TempDir dir;
  std::vector<std::filesystem::path> list{dir / "etc", dir / "usr"};

  Folders() {
    for (const auto& folder : list) std::filesystem::create_directory(folder);
  }
  std::filesystem::path code(const std::string& name) {
    test::write_file(dir / name, "x");
    return dir / name;
  }
  /// The name of the firmware for these needs; empty: none.
  std::string find(const std::string& machine = "q35", bool secure_boot = false,
                   const std::string& architecture = "x86_64") const {
    const auto found = find_firmware(list, FirmwareNeeds{architecture, machine, secure_boot});
    return found ? std::filesystem::path(found->code).filename().string() : std::string();
  }
};

} // namespace

TEST_CASE("firmware is found by its descriptor file") {
  Folders folders;
  CHECK(folders.find().empty());
  test::write_file(folders.dir / "usr/50.json", description(folders.code("a")));
  const auto found = find_firmware(folders.list, FirmwareNeeds{"x86_64", "q35", false});
  REQUIRE(found);
  CHECK(found->code == (folders.dir / "a").string());
  CHECK(found->vars_template == "/a.vars");
}

TEST_CASE("firmware matches a machine type by any of its names") {
  Folders folders;
  test::write_file(folders.dir / "usr/1.json", description(folders.code("q35"), "", "pc-q35-*"));
  test::write_file(folders.dir / "usr/2.json", description(folders.code("pc"), "", "pc-i440fx-*"));
  test::write_file(folders.dir / "usr/3.json", description(folders.code("arm"), "", "virt-*", "aarch64"));
  CHECK(folders.find("q35") == "q35");
  CHECK(folders.find("pc-q35-7.2") == "q35");
  CHECK(folders.find("pc") == "pc");
  CHECK(folders.find("pc-i440fx-7.2") == "pc");
  CHECK(folders.find("virt", false, "aarch64") == "arm");
  CHECK(folders.find("virt-7.2", false, "aarch64") == "arm");
  CHECK(folders.find("virt").empty());
  CHECK(folders.find("microvm").empty());
}

TEST_CASE("the first descriptor file wins, and one in an earlier folder hides those of the same name") {
  Folders folders;
  test::write_file(folders.dir / "usr/40.json", description(folders.code("first")));
  test::write_file(folders.dir / "usr/50.json", description(folders.code("second")));
  CHECK(folders.find() == "first");
  test::write_file(folders.dir / "etc/40.json", "");
  CHECK(folders.find() == "second");
  test::write_file(folders.dir / "etc/45.json", description(folders.code("ours")));
  CHECK(folders.find() == "ours");
}

TEST_CASE("firmware for Secure Boot has enrolled keys, and other firmware does not need SMM") {
  Folders folders;
  test::write_file(folders.dir / "usr/40.json",
                   description(folders.code("keys"), R"("enrolled-keys", "requires-smm", "secure-boot")"));
  test::write_file(folders.dir / "usr/50.json",
                   description(folders.code("no-keys"), R"("secure-boot", "requires-smm")"));
  test::write_file(folders.dir / "usr/60.json", description(folders.code("plain")));
  CHECK(folders.find("q35", true) == "keys");
  CHECK(folders.find("q35", false) == "plain");
}

TEST_CASE("unusable firmware descriptors are skipped") {
  Folders folders;
  const auto put = [&](const char* name, const std::string& text) {
    test::write_file(folders.dir / "usr" / name, text);
  };
  put("10.json", "no JSON");
  put("11.json", "[1]");
  put("12.json", R"({"interface-types": ["uefi"], "targets": 1, "mapping": []})");
  put("13.json", description(folders.dir / "not there"));
  put("20.txt", description(folders.code("no description")));
  std::string bios = description(folders.code("bios"));
  bios.replace(bios.find("uefi"), 4, "bios");
  put("14.json", bios);
  std::string packed = description(folders.code("packed"));
  packed.replace(packed.find("raw"), 3, "qcow2");
  put("15.json", packed);
  std::string memory = description(folders.code("memory"));
  memory.replace(memory.find("flash"), 5, "memory");
  put("16.json", memory);
  CHECK(folders.find().empty());
  put("99.json", description(folders.code("good")));
  CHECK(folders.find() == "good");
}

TEST_CASE("firmware that could not work is rejected") {
  const auto refusal = [](const std::string& vm_json) {
    QemuInfo qemu;
    qemu.path = "/usr/bin/qemu-system-x86_64";
    try {
      build_command_line(parse_vm_config(vm_json, "vm.json", "/vm"), qemu, {});
    } catch (const Error& error) {
      return error.diagnostics().detail;
    }
    return std::string("not refused");
  };
  using Catch::Matchers::ContainsSubstring;
  CHECK(refusal(R"({"efi": {"code": "c"}})") == "not refused");
  CHECK_THAT(refusal(R"({"efi": {}})"), ContainsSubstring("efi.code: is missing"));
  CHECK_THAT(refusal(R"({"efi": {"code": "c", "secureBoot": true}})"),
             ContainsSubstring("efi.varsTemplate: found nothing, expected variables with the keys"));
  CHECK(refusal(R"({"efi": {"code": "c", "vars": "v", "secureBoot": true}})") == "not refused");
  CHECK_THAT(refusal(R"({"efi": {"code": "c", "vars": "v", "secureBoot": true}, "machine": "pc"})"),
             ContainsSubstring("efi.secureBoot: found machine \"pc\", expected a q35 machine"));
  CHECK_THAT(refusal(R"({"efi": {"code": "c"}, "machine": "microvm"})"),
             ContainsSubstring("efi: found firmware for a machine \"microvm\""));
  CHECK_THAT(refusal(R"({"efi": {"code": "c", "vars": "v", "varsTemplate": "v"}})"),
             ContainsSubstring("efi.vars: found the template itself"));
  CHECK_THAT(refusal(R"({"efi": {"code": "c"}, "machine": {"pflash0": "p"}})"),
             ContainsSubstring("machine.pflash0: says the same as efi"));
}
