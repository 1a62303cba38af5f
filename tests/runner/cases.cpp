// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// Cases that leak, skip or fail on purpose; `check` says what the runner must make of each.
#include "catch.hpp"
#include "machine.hpp"
#include "skip.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

namespace {

/// A child that ends by itself, long after the runner has looked for it.
void become_something_else() {
  close(STDOUT_FILENO); // check reads it to its end
  close(STDERR_FILENO);
  execlp("sleep", "sleep", "5", nullptr);
  _exit(127);
}

} // namespace

TEST_CASE("good") {
  std::thread([] {}).join();
  const int child = fork();
  if (child == 0) _exit(0);
  REQUIRE(waitpid(child, nullptr, 0) == child);
}

TEST_CASE("wrong") {
  CHECK(1 == 2);
}

TEST_CASE("skipped") {
  test::skip("on purpose");
}

TEST_CASE("descriptor") {
  REQUIRE(open("/dev/null", O_RDONLY) >= 0);
}

TEST_CASE("descriptor replaced") {
  // The runner begins this case with descriptor 0 open: what it refers to counts, not only its number.
  const int null = open("/dev/null", O_WRONLY);
  REQUIRE(dup2(null, 0) == 0);
  close(null);
}

TEST_CASE("thread") {
  std::thread([] { pause(); }).detach();
}

TEST_CASE("zombie") {
  if (fork() == 0) _exit(0);
}

TEST_CASE("child") {
  if (fork() == 0) become_something_else();
}

TEST_CASE("daemon") {
  const int child = fork();
  if (child == 0) {
    setsid();
    if (fork() == 0) become_something_else();
    _exit(0);
  }
  REQUIRE(waitpid(child, nullptr, 0) == child);
}

QEMU_TEST_CASE("each QEMU") {
  REQUIRE(qemu.filename() == "qemu-system-x86_64");
}
