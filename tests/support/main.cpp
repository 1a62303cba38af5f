// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#if __has_include(<catch2/catch_session.hpp>)
  #include <catch2/catch_session.hpp>
#else
  #define CATCH_CONFIG_RUNNER
  #include <catch2/catch.hpp>
#endif

#include "descendants.hpp"
#include "leaks.hpp"
#include "skip.hpp"

#include <thread>

int main(int argc, char** argv) {
  test::mark_descendants(argv);
  test::kill_descendants_afterwards();
  // With its first thread a program under the thread sanitizer gets another permanent one, which must not count as a
  // case's leak.
  std::thread([] {}).join();
  // Catch2 2 returns the number of failures, 3 has numbers for some outcomes (4: everything was skipped).
  const int result = Catch::Session().run(argc, argv);
  constexpr int skipped = 77; // CTest's SKIP_RETURN_CODE
  if (test::any_leaked()) return 1;
  if (test::any_skipped() && (result == 0 || result == 4)) return skipped;
  return result == 0 ? 0 : 1;
}
