// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "cache.hpp"

#include "catch.hpp"
#include "environment.hpp"
#include "temp_dir.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

using namespace qemuctl;
using namespace qemuctl::detail;
namespace fs = std::filesystem;

namespace {

/// An empty cache folder for one case.
struct EmptyCache {
  test::TempDir dir;
  test::Environment environment{"XDG_CACHE_HOME", (dir / "cache").native()};
  fs::path folder = dir / "cache/qemuctl";

  std::vector<fs::path> files() const {
    if (!fs::exists(folder)) return {};
    return {fs::directory_iterator(folder), fs::directory_iterator()};
  }
};

const CacheKey key{"kind", "subject", Json::array({1, 2})};

mode_t mode(const fs::path& path) {
  struct stat info {};
  REQUIRE(::lstat(path.c_str(), &info) == 0);
  return info.st_mode & 07777;
}

void write(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

} // namespace

TEST_CASE("The cache returns what was stored", "[cache]") {
  const EmptyCache cache;
  CHECK_FALSE(cache_load(key).has_value());
  const Json value = Json::object({{"a", 1}, {"b", Json::array({"\u20ac\n", nullptr, 1.5})}});
  cache_store(key, value);
  CHECK(cache_load(key) == value);
  CHECK(cache_load(key) == value);
  cache_store(key, "other");
  CHECK(cache_load(key) == Json("other"));
}

TEST_CASE("The cache is private to its user", "[cache]") {
  const EmptyCache cache;
  cache_store(key, 1);
  REQUIRE(cache.files().size() == 1);
  CHECK(mode(cache.files()[0]) == 0600);
  CHECK(mode(cache.folder) == 0700);
  CHECK(mode(cache.folder.parent_path()) == 0700);
}

TEST_CASE("A cached answer does not outlive the state it depends on, and its file is replaced", "[cache]") {
  const EmptyCache cache;
  cache_store(key, "old");
  CacheKey changed = key;
  changed.state = Json::array({1, 3});
  CHECK_FALSE(cache_load(changed).has_value());
  cache_store(changed, "new");
  CHECK(cache_load(changed) == Json("new"));
  CHECK_FALSE(cache_load(key).has_value());
  CHECK(cache.files().size() == 1);
}

TEST_CASE("Cached answers to different questions are kept apart", "[cache]") {
  const EmptyCache cache;
  CacheKey other_subject = key;
  other_subject.subject = "other";
  CacheKey other_kind = key;
  other_kind.kind = "other";
  cache_store(key, 1);
  cache_store(other_subject, 2);
  cache_store(other_kind, 3);
  CHECK(cache_load(key) == Json(1));
  CHECK(cache_load(other_subject) == Json(2));
  CHECK(cache_load(other_kind) == Json(3));

  // Even if one file replaces another, as if their names collided.
  const auto files = cache.files();
  REQUIRE(files.size() == 3);
  const std::string first = read(files[0]);
  for (const fs::path& file : files) write(file, first);
  int found = 0;
  for (const CacheKey& each : {key, other_subject, other_kind}) found += cache_load(each).has_value() ? 1 : 0;
  CHECK(found == 1);
}

TEST_CASE("A damaged, foreign or oversized cache file is ignored and replaced", "[cache]") {
  const EmptyCache cache;
  cache_store(key, "value");
  const fs::path file = cache.files().at(0);
  const std::string good = read(file);

  for (const std::string& text :
       {std::string(), std::string("{"), std::string("null"), std::string("[]"), std::string("{\"key\": 1}"),
        good.substr(0, good.size() - 1), good + "x", good + std::string(std::size_t{5} << 20, ' ')}) {
    CAPTURE(text.substr(0, 100), text.size());
    write(file, text);
    CHECK_FALSE(cache_load(key).has_value());
  }
  write(file, good);
  CHECK(cache_load(key) == Json("value"));

  if (::geteuid() == 0) {
    REQUIRE(::chown(file.c_str(), 65'534, 65'534) == 0);
    CHECK_FALSE(cache_load(key).has_value());
    REQUIRE(::chown(file.c_str(), 0, 0) == 0);
  }
  const fs::path elsewhere = cache.dir / "elsewhere";
  fs::rename(file, elsewhere);
  fs::create_symlink(elsewhere, file);
  CHECK_FALSE(cache_load(key).has_value());

  cache_store(key, "value");
  CHECK(fs::is_regular_file(fs::symlink_status(file)));
  CHECK(cache_load(key) == Json("value"));
}

TEST_CASE("A cache that cannot be written is not an error", "[cache]") {
  const test::TempDir dir;
  write(dir / "file", "");
  for (const std::string& home : {(dir / "file").native(), std::string("/proc/self/fdinfo")}) {
    const test::Environment environment("XDG_CACHE_HOME", home);
    cache_store(key, 1);
    CHECK_FALSE(cache_load(key).has_value());
  }
  const EmptyCache cache;
  cache_store(key, std::string(std::size_t{5} << 20, 'x')); // too large to cache
  CHECK_FALSE(cache_load(key).has_value());
  CHECK(cache.files().empty());
}

TEST_CASE("The cache folder follows the XDG specification", "[cache]") {
  {
    const test::Environment environment("XDG_CACHE_HOME", "/some/where");
    CHECK(cache_dir() == "/some/where/qemuctl");
  }
  const bool root = ::geteuid() == 0;
  for (const auto& cache : {std::optional<std::string>("relative"), std::optional<std::string>()}) {
    const test::Environment environment("XDG_CACHE_HOME", cache);
    const test::Environment home("HOME", "/home/me");
    CHECK(cache_dir() == (root ? "/var/cache/qemuctl" : "/home/me/.cache/qemuctl"));
  }
}

TEST_CASE("The recorded state of a program changes with its content and its modules", "[cache]") {
  const test::TempDir dir;
  fs::create_directories(dir / "usr/bin");
  fs::create_directories(dir / "usr/lib/x86_64-linux-gnu/qemu");
  const fs::path program = dir / "usr/bin/qemu";
  write(program, "\x7f"
                 "ELF");
  const Json first = program_state(program);
  CHECK(first.is_object());
  CHECK(program_state(program) == first);

  fs::last_write_time(program, fs::last_write_time(program) + std::chrono::nanoseconds(1));
  const Json touched = program_state(program);
  CHECK(touched != first);

  write(dir / "usr/lib/x86_64-linux-gnu/qemu/hw-display-qxl.so", "");
  fs::last_write_time(dir / "usr/lib/x86_64-linux-gnu/qemu", fs::file_time_type::clock::now() + std::chrono::hours(1));
  CHECK(program_state(program) != touched);

  // The folder of the program itself, not of a link to it.
  fs::create_symlink(program, dir / "link");
  CHECK(program_state(dir / "link") == program_state(program));

  write(program, "#!/bin/sh\n");
  CHECK(program_state(program).is_null());
  CHECK(program_state(dir / "nothing").is_null());
  CHECK(program_state(dir.path()).is_null());
}
