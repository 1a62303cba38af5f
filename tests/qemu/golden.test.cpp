// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "golden.hpp"

#include "machine.hpp"
#include "run.hpp"
#include "sample_files.hpp"
#include "temp_dir.hpp"

#include <qemuctl/instance.hpp>

#include <string>

using namespace qemuctl;

namespace {

asio::awaitable<std::string> start_and_ask(VmConfig config) {
  LaunchOptions options;
  options.paused = true;
  options.kill_on_destruction = true;
  Instance vm = co_await Instance::launch(std::move(config), options);
  const VmStatus status = co_await vm.query_status();
  co_await vm.force_stop();
  co_return status.run_state;
}

} // namespace

QEMU_TEST_CASE("every golden VM is accepted by real QEMU") {
  for (const test::Golden& golden : test::goldens()) {
    if (!golden.not_started.empty()) continue;
    DYNAMIC_SECTION(golden.name) {
      const test::TempDir dir;
      std::filesystem::create_directory(dir / "vm"); // the demo's files are beside its folder
      VmConfig config = golden.config(dir / "vm");
      config.qemu_path = qemu.string();
      config.socket_dir = dir.path().string();
      config.machine.accel = "tcg";
      test::make_files(config);
      CHECK(test::run([&] { return start_and_ask(config); }) == "prelaunch");
    }
  }
}
