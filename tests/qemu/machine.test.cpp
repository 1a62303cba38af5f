// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// The machine itself, as QEMU has it: memory, clock, TPM, secrets.
#include "machine.hpp"

#include "ask.hpp"
#include "golden.hpp"
#include "processes.hpp"
#include "run.hpp"
#include "small_vm.hpp"
#include "temp_dir.hpp"

#include <qemuctl/error.hpp>
#include <qemuctl/instance.hpp>

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

using namespace qemuctl;
using Catch::Matchers::ContainsSubstring;
using test::ask;
using test::describe;
using test::ends;
using test::process_with;
using test::property;

QEMU_TEST_CASE("memory uses the configured backend") {
  const test::TempDir dir;
  const auto memory = [&](const std::string& backend) {
    const auto answers =
        ask(describe(R"({"memory": {"size": 64, "backend": )" + backend + "}}", dir, qemu),
            {{"query-memdev", {}}, property("/objects/ram", "type"), {"query-memory-size-summary", {}}});
    CHECK(answers[2].at("base-memory") == Json(64 << 20));
    const Json& device = answers[0].at(0);
    CHECK(device.at("size") == Json(64 << 20));
    return std::vector<Json>{answers[1], device.at("share"), device.at("prealloc")};
  };
  using Answers = std::vector<Json>;
  CHECK(memory(R"("ram")") == Answers{"memory-backend-ram", false, false});
  CHECK(memory(R"({"type": "ram", "prealloc": true})") == Answers{"memory-backend-ram", false, true});
  CHECK(memory(R"({"type": "memfd", "share": true, "prealloc": true})") == Answers{"memory-backend-memfd", true, true});
  CHECK(memory(R"({"type": "file", "path": "pages", "share": true})") == Answers{"memory-backend-file", true, false});
  CHECK(std::filesystem::file_size(dir / "pages") == 64 << 20);
}

QEMU_TEST_CASE("locked memory cannot be swapped out") {
  const test::TempDir dir;
  VmConfig config = describe(R"({"memory": {"size": 64, "memLock": "on"}})", dir, qemu);
  test::run([&]() -> asio::awaitable<void> {
    Instance vm = co_await Instance::launch(config, test::for_test());
    const std::string status = test::read_file(fmt::format("/proc/{}/status", *vm.pid()));
    const std::size_t at = status.find("VmLck:");
    REQUIRE(at != std::string::npos);
    CHECK(std::atol(status.c_str() + at + 6) >= 64 * 1024);
  });
}

QEMU_TEST_CASE("the machine has the configured options") {
  const test::TempDir dir;
  const auto answers =
      ask(describe(R"({"machine": {"type": "pc", "usb": true, "dumpGuestCore": false}, "balloon": true})", dir, qemu),
          {property("/machine", "usb"), property("/machine", "dump-guest-core"),
           property("/machine/peripheral/balloon", "type")});
  CHECK(answers[0] == Json(true));
  CHECK(answers[1] == Json(false));
  CHECK(answers[2] == Json("virtio-balloon-pci"));
}

QEMU_TEST_CASE("the clock starts at the configured time") {
  const test::TempDir dir;
  const Json time =
      ask(describe(R"({"rtc": {"base": "2006-06-17T16:01:21", "clock": "vm", "driftFix": "slew"}})", dir, qemu),
          {property("/machine", "rtc-time")})[0];
  CHECK(time.at("tm_year") == Json(106));
  CHECK(time.at("tm_mon") == Json(5));
  CHECK(time.at("tm_mday") == Json(17));
  CHECK(time.at("tm_hour") == Json(16));
}

QEMU_TEST_CASE("a TPM is present from the start, and its emulator ends with the VM") {
  for (const char* version : {"2.0", "1.2"}) {
    const test::TempDir dir;
    const VmConfig config =
        describe(fmt::format(R"({{"tpm": {{"version": "{}", "stateDir": "state"}}}})", version), dir, qemu);
    FileDescriptor emulator;
    test::while_running(config, [&](const test::Answers& answers) {
      const Json tpm = answers({"query-tpm", {}}).at(0);
      CHECK(tpm.at("model") == Json(std::string_view(version) == "2.0" ? "tpm-crb" : "tpm-tis"));
      CHECK(tpm.at("options").at("type") == Json("emulator"));
      emulator = process_with("dir=" + (dir / "state").string());
      REQUIRE(emulator);
    });
    CHECK(ends(emulator)); // the VM was killed
    CHECK(std::filesystem::is_directory(dir / "state"));
  }
}

QEMU_TEST_CASE("the TPM emulator does not outlive a VM that fails to start") {
  const test::TempDir dir;
  const VmConfig config = describe(R"({"tpm": {"stateDir": "state"}, "extraArgs": ["-nonsense"]})", dir, qemu);
  CHECK_THROWS_AS(ask(config, {}), Error);
  const FileDescriptor emulator = process_with("dir=" + (dir / "state").string());
  CHECK((!emulator || ends(emulator)));
}

QEMU_TEST_CASE("secrets reach QEMU as written") {
  const test::TempDir dir;
  const std::string secret = "comma, \"quote\" and \xC3\xBC";
  test::write_file(dir / "key,file", secret);
  test::write_file(dir / "passphrase", secret);
  const std::string image = dir / "encrypted";
  // Not qemu-img: it benchmarks the machine, and gives up where the CPU clock is coarse.
  const std::string make = fmt::format("truncate -s 4M '{1}' && cryptsetup luksFormat --batch-mode --type luks1 "
                                       "--pbkdf-force-iterations 1000 '{1}' '{0}'",
                                       (dir / "passphrase").string(), image);
  REQUIRE(std::system(make.c_str()) == 0);
  for (const char* id : {"text", "encoded", "file"}) {
    // Opens only with the right key.
    const Json node = Json::object({{"driver", "luks"},
                                    {"node-name", "encrypted"},
                                    {"key-secret", id},
                                    {"file", Json::object({{"driver", "file"}, {"filename", image}})}});
    VmConfig config = describe(R"({"secrets": [{"id": "text", "data": "comma, \"quote\" and \u00fc"},
                                   {"id": "encoded", "data": "Y29tbWEsICJxdW90ZSIgYW5kIMO8", "format": "base64"},
                                   {"id": "file", "file": "key,file"}]})",
                               dir, qemu);
    config.extra_args = {"-blockdev", node.dump()};
    CHECK(ask(config, {{"query-named-block-nodes", {}}})[0].size() > 0);
  }
  VmConfig wrong = describe(R"({"secrets": [{"id": "text", "data": "other"}]})", dir, qemu);
  wrong.extra_args = {"-blockdev",
                      R"({"driver":"luks","key-secret":"text","node-name":"n","file":{"driver":"file","filename":")" +
                          image + R"("}})"};
  CHECK_THROWS_WITH(ask(wrong, {}), ContainsSubstring("Invalid password"));
}
