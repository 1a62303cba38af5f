// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// What is refused of memory, firmware, clock and TPM; the golden files show what becomes of the rest.
#include "catch.hpp"
#include "refusal.hpp"

#include <string>

using Catch::Matchers::ContainsSubstring;
using test::refusal;

TEST_CASE("the host CPU model requires KVM") {
  CHECK_THAT(refusal(R"({"kvm": false, "cpu": "host"})"),
             ContainsSubstring("cpu.model: found \"host\", expected \"max\""));
  CHECK(refusal(R"({"cpu": "host"})") == "not refused");
}

TEST_CASE("file-backed memory needs a path, and other memory takes none") {
  CHECK_THAT(refusal(R"({"memory": {"backend": "file"}})"), ContainsSubstring("memory.backend.path: found nothing"));
  CHECK(refusal(R"({"memory": {"backend": {"type": "file", "path": "pages"}}})") == "not refused");
  CHECK_THAT(refusal(R"({"memory": {"backend": {"type": "memfd", "path": "pages"}}})"),
             ContainsSubstring("memory.backend.path: has no effect"));
}

TEST_CASE("memory is shared when another process maps it") {
  const std::string share = R"("shares": [{"path": "x", "tag": "t"}])";
  CHECK(refusal("{" + share + "}") == "not refused");
  CHECK_THAT(refusal("{\"memory\": {\"backend\": \"memfd\"}, " + share + "}"),
             ContainsSubstring("memory.backend.share: found false, expected true"));
}

TEST_CASE("firmware needs a machine with flash memory, and Secure Boot one that protects it") {
  CHECK_THAT(refusal(R"({"machine": "microvm", "efi": {"code": "f"}})"), ContainsSubstring("efi: found firmware"));
  CHECK_THAT(refusal(R"({"machine": "pc", "efi": {"code": "f", "varsTemplate": "v", "secureBoot": true}})"),
             ContainsSubstring("efi.secureBoot: ") && ContainsSubstring("a q35 machine"));
  CHECK_THAT(refusal(R"({"efi": {"code": "f", "secureBoot": true}})"), ContainsSubstring("efi.varsTemplate: "));
  CHECK_THAT(refusal(R"({"efi": {"code": "f"}, "machine": {"pflash0": "n"}})"),
             ContainsSubstring("machine.pflash0: says the same as efi"));
  CHECK_THAT(refusal(R"({"machine": {"pflash1": "n"}})"), ContainsSubstring("machine.pflash1: has no effect"));
}

TEST_CASE("the clock starts at a time QEMU understands") {
  CHECK_THAT(refusal(R"({"rtc": {"base": "yesterday"}})"), ContainsSubstring("rtc.base: found \"yesterday\""));
  CHECK(refusal(R"({"rtc": {"base": "2006-06-17"}})") == "not refused");
}

TEST_CASE("a TPM has a device that supports its version") {
  CHECK_THAT(refusal(R"({"tpm": {"version": "1.2", "model": "tpm-crb", "stateDir": "s"}})"),
             ContainsSubstring("tpm.model: ") && ContainsSubstring("\"tpm-tis\""));
}
