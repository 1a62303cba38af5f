// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "cache.hpp"
#include "catch.hpp"
#include "environment.hpp"
#include "temp_dir.hpp"

#include <filesystem>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

using namespace qemuctl;
using namespace qemuctl::detail;
namespace fs = std::filesystem;

TEST_CASE("Writers of one cache file do not disturb each other or its readers", "[cache]") {
  const test::TempDir dir;
  const test::Environment environment("XDG_CACHE_HOME", (dir / "cache").native());
  const CacheKey key{"kind", "subject", Json::array({1, 2})};
  const std::string text(100'000, 'x');
  cache_store(key, text);
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < 4; ++thread)
      threads.emplace_back([&] {
        for (int round = 0; round < 25; ++round) cache_store(key, text);
      });
    int bad = 0;
    for (int round = 0; round < 50; ++round) bad += cache_load(key) == Json(text) ? 0 : 1;
    CHECK(bad == 0);
  }
  const fs::path folder = dir / "cache/qemuctl";
  CHECK(std::distance(fs::directory_iterator(folder), fs::directory_iterator()) == 1); // no temporary file remains
}
