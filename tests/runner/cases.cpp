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

#include <csignal>
#include <iostream>
#include <thread>

namespace {

/// A child that ends by itself, long after the runner has looked for it.
void become_something_else(const char* seconds = "5") {
  close(STDOUT_FILENO); // check reads it to its end
  close(STDERR_FILENO);
  execlp("sleep", "sleep", seconds, nullptr);
  _exit(127);
}

/// Returns its number when it runs.
int start_daemon(const char* seconds = "5") {
  int ready[2];
  REQUIRE(pipe(ready) == 0);
  const int child = fork();
  if (child == 0) {
    setsid();
    if (fork() > 0) _exit(0);
    const int self = getpid();
    if (write(ready[1], &self, sizeof self) != sizeof self) _exit(1);
    close(ready[0]);
    close(ready[1]);
    become_something_else(seconds);
  }
  REQUIRE(waitpid(child, nullptr, 0) == child);
  int daemon = 0;
  REQUIRE(read(ready[0], &daemon, sizeof daemon) == sizeof daemon);
  close(ready[0]);
  close(ready[1]);
  return daemon;
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
  start_daemon();
}

TEST_CASE("killed") {
  std::cout << "daemon " << start_daemon("60") << std::endl;
  raise(SIGKILL);
}

QEMU_TEST_CASE("each QEMU") {
  REQUIRE(qemu.filename() == "qemu-system-x86_64");
}
