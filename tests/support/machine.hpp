// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// What the tests need from the machine: the QEMU binaries, the demo guest and the host in a VM.
#pragma once

#include "catch.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace test {

/// Every qemu-system-x86_64 the tests run against: those in `QEMUCTL_TEST_QEMUS` (colon separated), else the one in
/// `$PATH` and the one that `tools/setup --qemu10` built. Skips the case if there is none.
const std::vector<std::filesystem::path>& qemus();

/// The one for another architecture (in GOARCH style) in `$PATH`. Skips the case when there is none.
std::filesystem::path qemu_for(const std::string& arch);

struct DemoGuest {
  std::filesystem::path kernel, initrd;
};

/// The guest that `tools/demo-guest` built in the build folder, or in `QEMUCTL_DEMO_GUEST`. Skips the case if it is
/// missing.
DemoGuest demo_guest();

struct HostInAVm {
  std::filesystem::path kernel, initrd, modules;
};

/// What `tools/host-in-a-vm` built in the build folder, or in `QEMUCTL_HOST_IN_A_VM`. Skips the case if it is
/// missing.
HostInAVm host_in_a_vm();

} // namespace test

// NOLINTBEGIN(cppcoreguidelines-macro-usage): only a macro can define a test case.
#define QEMU_TEST_CASE_NAMED(function, ...)                                                                            \
  static void function(const std::filesystem::path& qemu);                                                             \
  TEST_CASE(__VA_ARGS__) {                                                                                             \
    for (const auto& qemu : test::qemus()) {                                                                           \
      DYNAMIC_SECTION(qemu.string()) {                                                                                 \
        function(qemu);                                                                                                \
      }                                                                                                                \
    }                                                                                                                  \
  }                                                                                                                    \
  static void function([[maybe_unused]] const std::filesystem::path& qemu)
#define QEMU_TEST_CASE_AT(line, ...) QEMU_TEST_CASE_NAMED(qemu_test_case_##line, __VA_ARGS__)
#define QEMU_TEST_CASE_EXPANDED(line, ...) QEMU_TEST_CASE_AT(line, __VA_ARGS__)
/// A TEST_CASE whose body runs once for each of test::qemus(), with the binary's path as `qemu`.
#define QEMU_TEST_CASE(...) QEMU_TEST_CASE_EXPANDED(__LINE__, __VA_ARGS__)
// NOLINTEND(cppcoreguidelines-macro-usage)
