// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// CD-ROM drives, and what is in them while the VM runs.
#include "ask.hpp"
#include "expect_error.hpp"
#include "golden.hpp"
#include "machine.hpp"
#include "qtest.hpp"
#include "run.hpp"
#include "small_vm.hpp"
#include "temp_dir.hpp"

#include <qemuctl/blocking.hpp>
#include <qemuctl/error.hpp>
#include <qemuctl/instance.hpp>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

using namespace qemuctl;
using Catch::Matchers::ContainsSubstring;
using test::describe;
using test::property;

namespace {

asio::awaitable<BlockDevice> drive(Instance& vm, std::string id) {
  const std::vector<BlockDevice> all = co_await vm.query_block();
  for (const BlockDevice& one : all)
    if (one.id == id) co_return one;
  throw std::runtime_error("there is no drive " + id);
}

/// The names of all block nodes.
asio::awaitable<std::set<std::string>> nodes(Instance& vm) {
  const Json reply = co_await vm.execute("query-named-block-nodes");
  std::set<std::string> names;
  for (const Json& node : reply.as_array()) names.insert(node.at("node-name").as_string());
  co_return names;
}

/// Whether QEMU has the file open.
bool has_open(const Instance& vm, const std::filesystem::path& file) {
  const auto folder = std::filesystem::path("/proc") / std::to_string(vm.pid().value()) / "fd";
  std::error_code ec;
  return std::ranges::any_of(std::filesystem::directory_iterator(folder), [&](const auto& entry) {
    return std::filesystem::read_symlink(entry.path(), ec) == file;
  });
}

constexpr std::array<std::uint8_t, 12> lock_drive{0x1e, 0, 0, 0, 1}; // PREVENT ALLOW MEDIUM REMOVAL
constexpr std::array<std::uint8_t, 12> unlock_drive{0x1e};
constexpr std::array<std::uint8_t, 12> open_drive{0x1b, 0, 0, 0, 2}; // START STOP UNIT

/// A VM whose first drive a "guest" can lock.
VmConfig with_lockable_drive(const test::TempDir& dir, const std::filesystem::path& qemu, const test::Qtest& guest) {
  VmConfig config =
      describe(R"({"machine": "pc", "cdroms": [{"id": "cd", "path": "a.iso", "interface": "ide"}]})", dir, qemu);
  config.extra_args = guest.arguments();
  test::write_file(dir / "b.iso", "b");
  return config;
}

LaunchOptions paused() {
  LaunchOptions options = test::for_test();
  options.paused = true;
  return options;
}

} // namespace

QEMU_TEST_CASE("any number of CD-ROM drives gets a bus") {
  const test::TempDir dir;
  const VmConfig config = describe(R"({"cdroms": [
    "0.iso", "1.iso", {"path": "2,.iso", "bootIndex": 0}, {}, "4.iso", "5.iso", "6.iso",
    {"interface": "scsi", "path": "7.iso"}]})",
                                   dir, qemu);
  std::vector<test::Question> questions{{"query-block", {}}, property("/machine/peripheral/cdrom2", "bootindex")};
  for (int i = 0; i < 8; ++i)
    questions.push_back(property(fmt::format("/machine/peripheral/cdrom{}", i), "parent_bus"));
  const std::vector<Json> answers = test::ask(config, questions);
  CHECK(answers[0].size() == 8);
  for (const Json& one : answers[0].as_array()) {
    CHECK(one.at("removable") == Json(true));
    if (one.at("qdev") == Json("cdrom3"))
      CHECK_FALSE(one.contains("inserted"));
    else
      CHECK(one.at("inserted").at("ro") == Json(true));
    if (one.at("qdev") == Json("cdrom2")) CHECK(one.at("inserted").at("file") == Json((dir / "2,.iso").string()));
  }
  CHECK(answers[1] == Json(0));
  for (std::size_t i = 0; i < 6; ++i)
    CHECK_THAT(answers[2 + i].as_string(), Catch::Matchers::EndsWith(fmt::format("/ide.{}", i)));
  CHECK(answers[8] == Json("/machine/peripheral/sata0/sata0.0"));
  CHECK_THAT(answers[9].as_string(), Catch::Matchers::EndsWith("/scsi.0"));
}

QEMU_TEST_CASE("changing the medium of a drive closes the old file") {
  const test::TempDir dir;
  VmConfig config = describe(R"({"cdroms": [{"id": "sata", "path": "a.iso"}, {"id": "empty"},
                                            {"id": "on-scsi", "interface": "scsi", "path": "b.iso"}]})",
                             dir, qemu);
  // As other programs do.
  config.extra_args = {"-drive", fmt::format("file={},if=none,id=old,media=cdrom,format=raw", (dir / "c.iso").string()),
                       "-device", "ide-cd,id=old-way,drive=old,bus=ide.5"};
  for (const char* name : {"c.iso", "new,1.iso"}) test::write_file(dir / name, "x");
  test::run([&]() -> asio::awaitable<void> {
    Instance vm = co_await Instance::launch(config, paused());
    const std::set<std::string> before = co_await nodes(vm);
    const std::vector<std::string> ids = test::words("sata", "empty", "on-scsi", "old-way");
    for (const std::string& id : ids) {
      INFO(id);
      const BlockDevice old = co_await drive(vm, id);
      CHECK(old.removable);
      CHECK(old.inserted == (id != "empty"));
      co_await vm.change_medium(id, dir / "new,1.iso");
      const BlockDevice changed = co_await drive(vm, id);
      CHECK(changed.inserted);
      CHECK_FALSE(changed.tray_open);
      CHECK(changed.read_only);
      CHECK(changed.file == (dir / "new,1.iso").string());
      if (old.inserted) CHECK_FALSE(has_open(vm, old.file));
      co_await vm.eject(id);
      const BlockDevice ejected = co_await drive(vm, id);
      CHECK_FALSE(ejected.inserted);
      CHECK(ejected.tray_open);
      CHECK_FALSE(has_open(vm, dir / "new,1.iso"));
      // An open tray is no obstacle.
      co_await vm.change_medium(id, dir / "new,1.iso");
      const BlockDevice again = co_await drive(vm, id);
      CHECK(again.inserted);
      CHECK_FALSE(again.tray_open);
      co_await vm.eject(id);
    }
    const std::set<std::string> left = co_await nodes(vm);
    CHECK(std::ranges::includes(before, left));
    co_await vm.eject("empty"); // it already is
  });
}

QEMU_TEST_CASE("a medium that cannot be opened leaves the drive unchanged") {
  const test::TempDir dir;
  const VmConfig config = describe(R"({"cdroms": [{"id": "cd", "path": "a.iso"}]})", dir, qemu);
  test::run([&]() -> asio::awaitable<void> {
    Instance vm = co_await Instance::launch(config, paused());
    const std::set<std::string> before = co_await nodes(vm);
    const Error error = co_await test::error_of(vm.change_medium("cd", dir / "none.iso"));
    CHECK(error.code() == errc::command_failed);
    CHECK_THAT(error.what(), ContainsSubstring("none.iso") && ContainsSubstring("No such file or directory"));
    const std::set<std::string> after = co_await nodes(vm);
    CHECK(after == before);
    const BlockDevice same = co_await drive(vm, "cd");
    CHECK(same.inserted);
    CHECK_FALSE(same.tray_open);
    CHECK(same.file == (dir / "a.iso").string());
    CHECK(has_open(vm, dir / "a.iso"));
  });
}

QEMU_TEST_CASE("only CD-ROM drives have a medium to change") {
  const test::TempDir dir;
  const VmConfig config =
      describe(R"({"cdroms": [{"id": "cd"}], "disks": [{"id": "disk", "backend": {"type": "file", "path": "a.img"}}]})",
               dir, qemu);
  test::run([&]() -> asio::awaitable<void> {
    Instance vm = co_await Instance::launch(config, paused());
    const Error disk = co_await test::error_of(vm.change_medium("disk", dir / "a.img"));
    CHECK(disk.code() == errc::invalid_argument);
    CHECK_THAT(disk.what(), ContainsSubstring("it is a disk, which has no medium to change"));
    const Error nothing = co_await test::error_of(vm.eject("dc"));
    CHECK(nothing.code() == errc::not_found);
    CHECK_THAT(nothing.what(),
               ContainsSubstring("eject drive dc") && ContainsSubstring("disk") && ContainsSubstring("cd"));
    const Error empty = co_await test::error_of(vm.change_medium("cd", ""));
    CHECK(empty.code() == errc::invalid_argument);
  });
}

QEMU_TEST_CASE("changing the medium of a locked drive fails with advice, unless it is forced") {
  const test::TempDir dir;
  test::Qtest guest(dir / "qtest");
  const VmConfig config = with_lockable_drive(dir, qemu, guest);
  test::run([&]() -> asio::awaitable<void> {
    Instance vm = co_await Instance::launch(config, paused());
    guest.accept();
    guest.atapi_packet(lock_drive);
    const BlockDevice locked = co_await drive(vm, "cd");
    CHECK(locked.locked);
    const std::set<std::string> before = co_await nodes(vm);
    const Error change = co_await test::error_of(vm.change_medium("cd", dir / "b.iso"));
    CHECK(change.code() == errc::timed_out);
    CHECK_THAT(change.what(), ContainsSubstring("the guest has locked the drive") && ContainsSubstring("use force"));
    const BlockDevice same = co_await drive(vm, "cd");
    CHECK(same.file == (dir / "a.iso").string());
    CHECK_FALSE(same.tray_open);
    CHECK_FALSE(has_open(vm, dir / "b.iso"));
    const std::set<std::string> after = co_await nodes(vm);
    CHECK(after == before);

    co_await vm.change_medium("cd", dir / "b.iso", true);
    const BlockDevice forced = co_await drive(vm, "cd");
    CHECK(forced.file == (dir / "b.iso").string());
    guest.atapi_packet(lock_drive);
    co_await vm.eject("cd", true);
    const BlockDevice empty = co_await drive(vm, "cd");
    CHECK_FALSE(empty.inserted);
  });
}

QEMU_TEST_CASE("a guest that has locked the drive is asked to open the tray") {
  const test::TempDir dir;
  test::Qtest guest(dir / "qtest");
  const VmConfig config = with_lockable_drive(dir, qemu, guest);
  test::run([&]() -> asio::awaitable<void> {
    Instance vm = co_await Instance::launch(config, paused());
    guest.accept();
    guest.atapi_packet(lock_drive);
    // What a guest does when asked, as soon as QEMU has been.
    EventSubscription events = vm.subscribe_events();
    bool done = false;
    asio::co_spawn(
        co_await asio::this_coro::executor, [&] { return vm.change_medium("cd", dir / "b.iso"); },
        [&](std::exception_ptr failure) {
          CHECK_FALSE(failure);
          done = true;
        });
    for (std::set<std::string> known; known.size() < 4;) known = co_await nodes(vm);
    guest.atapi_packet(unlock_drive);
    guest.atapi_packet(open_drive);
    while (!done) {
      const auto event = co_await events.next(std::chrono::seconds(10));
      if (event && event->name == "DEVICE_TRAY_MOVED" && event->data.at("tray-open") == Json(false)) break;
    }
    const BlockDevice changed = co_await drive(vm, "cd");
    CHECK(changed.file == (dir / "b.iso").string());
    while (!done) co_await nodes(vm);
  });
}

QEMU_TEST_CASE("two concurrent medium changes leave nothing behind") {
  const test::TempDir dir;
  const VmConfig config = describe(R"({"cdroms": [{"id": "cd", "path": "a.iso"}]})", dir, qemu);
  test::write_file(dir / "b.iso", "x");
  test::write_file(dir / "c.iso", "x");
  test::run([&]() -> asio::awaitable<void> {
    Instance vm = co_await Instance::launch(config, paused());
    const std::set<std::string> before = co_await nodes(vm);
    int done = 0, failed = 0;
    const auto executor = co_await asio::this_coro::executor;
    const std::vector<std::string> names = test::words("b.iso", "c.iso");
    for (const std::string& name : names)
      asio::co_spawn(executor, vm.change_medium("cd", dir / name), [&](std::exception_ptr failure) {
        ++done;
        failed += failure != nullptr;
      });
    while (done < 2) co_await nodes(vm);
    CHECK(failed < 2);
    const std::set<std::string> after = co_await nodes(vm);
    CHECK(after.size() == before.size());
    const BlockDevice now = co_await drive(vm, "cd");
    CHECK(now.inserted);
    CHECK_FALSE(now.tray_open);
    CHECK_FALSE(has_open(vm, dir / "a.iso"));
  });
}

QEMU_TEST_CASE("blocking programs can change media, too") {
  const test::TempDir dir;
  const VmConfig config = describe(R"({"cdroms": [{"id": "cd"}]})", dir, qemu);
  test::write_file(dir / "a.iso", "x");
  auto vm = blocking::Instance::launch(config, test::for_test());
  vm.change_medium("cd", dir / "a.iso");
  CHECK(vm.query_block().at(0).file == (dir / "a.iso").string());
  vm.eject("cd");
  CHECK_FALSE(vm.query_block().at(0).inserted);
  CHECK_THROWS_WITH(vm.change_medium("cd", dir / "none"), ContainsSubstring("No such file"));
  vm.force_stop();
}
