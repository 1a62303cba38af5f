// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "file_watch.hpp"
#include "run.hpp"
#include "temp_dir.hpp"

#include <asio/io_context.hpp>

#include <filesystem>
#include <fstream>

using hotplug::detail::FileWatch;

TEST_CASE("a file can be waited for before its folders exist") {
  const test::TempDir dir;
  asio::io_context io;
  const std::filesystem::path file = dir / "some/folder/file";
  FileWatch watch(io.get_executor(), file);
  // Made one after the other, so each of them has to be followed.
  while (!std::filesystem::exists(file)) {
    if (!std::filesystem::exists(dir / "some"))
      std::filesystem::create_directory(dir / "some");
    else if (!std::filesystem::exists(dir / "some/folder"))
      std::filesystem::create_directory(dir / "some/folder");
    else
      std::ofstream(file) << "text";
    test::run(io, watch.changed());
  }
  // What is written to it, and its end.
  std::ofstream(file) << "more";
  test::run(io, watch.changed());
  std::filesystem::remove(file);
  test::run(io, watch.changed());
}

TEST_CASE("a watched folder reports what appears, changes and vanishes in it, and may itself appear and vanish") {
  const test::TempDir dir;
  asio::io_context io;
  const std::filesystem::path folder = dir / "folder";
  FileWatch watch(io.get_executor(), folder.string() + "/");
  std::ofstream(dir / "neighbour") << "text";
  CHECK_THROWS(test::run(io, watch.changed(), std::chrono::milliseconds(50)));
  std::filesystem::create_directory(folder);
  test::run(io, watch.changed());
  for (const char* name : {"a", "b"}) {
    std::ofstream(folder / name) << "text";
    test::run(io, watch.changed());
  }
  std::filesystem::rename(folder / "a", folder / "c");
  test::run(io, watch.changed());
  std::filesystem::remove(folder / "b");
  test::run(io, watch.changed());
  CHECK_THROWS(test::run(io, watch.changed(), std::chrono::milliseconds(50)));
  std::filesystem::remove_all(folder);
  test::run(io, watch.changed());
  std::filesystem::create_directory(folder);
  test::run(io, watch.changed());
  std::ofstream(folder / "a") << "text";
  test::run(io, watch.changed());
}

TEST_CASE("a change before the wait is not missed, and neighbouring files do not matter") {
  const test::TempDir dir;
  asio::io_context io;
  FileWatch watch(io.get_executor(), dir / "file");
  std::ofstream(dir / "neighbour") << "text";
  CHECK_THROWS(test::run(io, watch.changed(), std::chrono::milliseconds(50)));
  std::ofstream(dir / "file") << "text";
  test::run(io, watch.changed());
}
