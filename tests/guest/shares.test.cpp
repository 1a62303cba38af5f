// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// Folders of the host, as a guest sees them.
#include "catch.hpp"
#include "demo.hpp"
#include "golden.hpp"
#include "machine.hpp"
#include "run.hpp"
#include "temp_dir.hpp"

#include <qemuctl/instance.hpp>

#include <asio/this_coro.hpp>

#include <filesystem>
#include <string>

using namespace qemuctl;
using Catch::Matchers::ContainsSubstring;
using test::demo_vm;
using test::patience;
using test::SerialConsole;
using test::with_console;

namespace {

ShareConfig share_of(const std::string& type, const std::filesystem::path& folder, const std::string& tag) {
  std::filesystem::create_directory(folder);
  test::write_file(folder / "from the host", "written by the host\n");
  ShareConfig share;
  share.type = type;
  share.path = folder.string();
  share.tag = tag;
  return share;
}

} // namespace

QEMU_TEST_CASE("A guest reads and writes a host folder shared over 9p, unless it is read-only") {
  const test::TempDir dir;
  VmConfig config = demo_vm(qemu, dir);
  config.shares.push_back(share_of("9p", dir / "both, ways", "both"));
  config.shares.push_back(share_of("9p", dir / "one way", "one"));
  config.shares.back().read_only = true;
  test::run(
      [&]() -> asio::awaitable<void> {
        Instance vm = co_await Instance::launch(config, with_console());
        SerialConsole console(co_await asio::this_coro::executor, vm);
        co_await console.prompt();
        const std::string read =
            co_await console.run("mount -t 9p -o trans=virtio,version=9p2000.L both /mnt && cat '/mnt/from the host'");
        CHECK_THAT(read, ContainsSubstring("written by the host"));
        co_await console.run("echo written by the guest >/mnt/answer; umount /mnt");
        CHECK(test::read_file(dir / "both, ways/answer") == "written by the guest\n");
        const std::string refused =
            co_await console.run("mount -t 9p -o trans=virtio,version=9p2000.L one /mnt && cat '/mnt/from the host'; "
                                 "echo 1 >/mnt/answer");
        CHECK_THAT(refused, ContainsSubstring("written by the host"));
        CHECK_THAT(refused, ContainsSubstring("Read-only file system"));
        CHECK_FALSE(std::filesystem::exists(dir / "one way/answer"));
        co_await vm.force_stop();
      },
      patience);
}

QEMU_TEST_CASE("A guest reads and writes a host folder shared over virtiofs") {
  const test::TempDir dir;
  VmConfig config = demo_vm(qemu, dir);
  config.shares.push_back(share_of("virtiofs", dir / "shared", "home"));
  test::run(
      [&]() -> asio::awaitable<void> {
        Instance vm = co_await Instance::launch(config, with_console());
        SerialConsole console(co_await asio::this_coro::executor, vm);
        co_await console.prompt();
        const std::string read = co_await console.run("mount -t virtiofs home /mnt && cat '/mnt/from the host'");
        CHECK_THAT(read, ContainsSubstring("written by the host"));
        co_await console.run("echo written by the guest >/mnt/answer; umount /mnt");
        CHECK(test::read_file(dir / "shared/answer") == "written by the guest\n");
        co_await vm.force_stop();
      },
      patience);
}
