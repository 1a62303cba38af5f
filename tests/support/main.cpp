// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#if __has_include(<catch2/catch_session.hpp>)
  #include <catch2/catch_session.hpp>
#else
  #define CATCH_CONFIG_RUNNER
  #include <catch2/catch.hpp>
#endif

#include "leaks.hpp"
#include "skip.hpp"

#include <thread>

int main(int argc, char** argv) {
  test::mark_descendants(argv);
  // With its first thread a program under the thread sanitizer gets another one for good, which no case has to answer
  // for.
  std::thread([] {}).join();
  const int result = Catch::Session().run(argc, argv);
  if (test::any_leaked()) return result == 0 ? 1 : result;
  // 77 is CTest's SKIP_RETURN_CODE. Catch2 3 returns 4 when every case was skipped.
  if (test::any_skipped() && (result == 0 || result == 4)) return 77;
  return result;
}
