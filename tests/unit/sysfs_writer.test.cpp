// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "sysfs_writer.hpp"

#include "catch.hpp"
#include "dead_file_system.hpp"
#include "golden.hpp"
#include "run.hpp"
#include "temp_dir.hpp"

#include <asio/io_context.hpp>
#include <sys/stat.h>

#include <chrono>
#include <string>
#include <vector>

using namespace hotplug::detail;
using Catch::Matchers::ContainsSubstring;
using std::chrono::milliseconds;

namespace {

SysfsOutcome write(std::vector<SysfsWrite> writes, milliseconds timeout = milliseconds(10'000)) {
  asio::io_context io;
  return test::run(io, write_sysfs(io.get_executor(), std::move(writes), timeout));
}

} // namespace

TEST_CASE("files are written in order, up to the first failure") {
  const test::TempDir dir;
  const std::string one = dir / "one", two = dir / "two", none = dir / "none/file";
  test::write_file(one, "");
  test::write_file(two, "");
  CHECK(write({{one, "1", false}, {none, "x", true}, {two, "2", false}}).problem.empty());
  CHECK(test::read_file(one) == "1");
  CHECK(test::read_file(two) == "2");
  const SysfsOutcome failed = write({{none, "x", false}, {two, "3", false}});
  CHECK_THAT(failed.problem, ContainsSubstring(none) && ContainsSubstring("No such file"));
  CHECK_FALSE(failed.stuck);
  CHECK(test::read_file(two) == "2");
}

TEST_CASE("a probe finds out whether the kernel uses a block device, without writing to it") {
  const test::TempDir dir;
  const std::string disk = dir / "disk";
  test::write_file(disk, "data");
  asio::io_context io;
  const auto probe = [&](std::vector<std::string> nodes) {
    return test::run(io, probe_block_devices(io.get_executor(), std::move(nodes), milliseconds(10'000)));
  };
  const SysfsOutcome outcome = probe({disk, dir / "none"}); // one that is gone is used by nobody
  CHECK(outcome.problem.empty());
  CHECK_FALSE(outcome.in_use);
  CHECK(test::read_file(disk) == "data");
}

TEST_CASE("a write that hangs is given up at its deadline") {
  const test::TempDir dir;
  const std::string fifo = dir / "fifo"; // nobody reads it
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  const SysfsOutcome outcome = write({{fifo, "x", false}}, milliseconds(100));
  CHECK_THAT(outcome.problem, ContainsSubstring("the kernel did not do it within") && ContainsSubstring(fifo));
  CHECK_FALSE(outcome.stuck); // this one can be killed
}

TEST_CASE("a disk that does not answer is given up at the deadline, even if the probe hangs in the kernel") {
  const test::TempDir dir;
  test::DeadFileSystem dead(dir / "mnt");
  const bool kept = GENERATE(false, true);
  if (kept) dead.take_requests();
  const std::string disk = dir / "mnt/disk";
  asio::io_context io;
  SysfsOutcome outcome = test::run(io, probe_block_devices(io.get_executor(), {disk}, milliseconds(500)));
  CHECK_THAT(outcome.problem, ContainsSubstring("the kernel did not do it within") && ContainsSubstring(disk));
  CHECK_FALSE(outcome.in_use);
  REQUIRE(outcome.stuck.has_value() == kept);
  if (!kept) return;
  CHECK_THAT(outcome.problem, ContainsSubstring("keeps process " + std::to_string(outcome.stuck->pid())));
  dead.end();
  test::run(io, [&]() -> asio::awaitable<void> { co_await outcome.stuck->wait(); });
}
