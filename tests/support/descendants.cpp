// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "descendants.hpp"

#include "proc.hpp"

#include <qemuctl/file_descriptor.hpp>

#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>

namespace test {

namespace {

constexpr const char* marker = "QEMUCTL_TEST_PROCESS";

/// Only a process that has memory, and that we may inspect, has a program: no zombie or kernel thread.
bool has_program(const std::string& entry) {
  return access((entry + "/exe").c_str(), F_OK) == 0;
}

/// Waits for the end of `ancestor`, whose pidfd is `watched`, and kills what it leaves behind.
void guard(int ancestor, int watched) {
  setsid(); // away from the signals of a terminal
  // Keep none of the ancestor's descriptors open: others wait for the end of its output.
  dup2(watched, 0);
  close_range(1, ~0U, 0);
  pollfd end{0, POLLIN, 0};
  while (poll(&end, 1, -1) < 0 && errno == EINTR) {
  }
  const int self = getpid();
  constexpr int rounds = 200; // some may start others during the search, and a killed one takes a moment to die
  bool found = true;
  for (int round = 0; found && round < rounds; ++round) {
    found = false;
    each_number_in("/proc", [&](int pid) {
      if (pid == self || !descends_from(ancestor, pid)) return;
      found = true;
      kill(pid, SIGKILL);
    });
    if (found) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

} // namespace

void mark_descendants(char** argv) {
  const auto self = std::to_string(getpid());
  const char* mark = std::getenv(marker);
  if (mark && mark == self) return;
  setenv(marker, self.c_str(), 1);
  // /proc shows the environment at exec, so that even forks that exec nothing show the mark.
  execv("/proc/self/exe", argv);
}

bool descends_from(int ancestor, int pid) {
  // In the middle of exec a process has no environment for a moment.
  const auto entry = "/proc/" + std::to_string(pid);
  auto environment = read_proc_file(entry + "/environ");
  for (int tries = 0; environment.empty() && tries < 20 && has_program(entry); ++tries) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    environment = read_proc_file(entry + "/environ");
  }
  // Entries are separated by NUL; a leading one lets every entry be found the same way.
  const auto wanted = std::string(1, '\0') + marker + '=' + std::to_string(ancestor) + '\0';
  return (std::string(1, '\0') + environment).find(wanted) != std::string::npos;
}

void kill_descendants_afterwards() {
  const int self = getpid();
  const qemuctl::FileDescriptor watched(static_cast<int>(syscall(SYS_pidfd_open, self, 0)));
  if (!watched) throw std::system_error(errno, std::generic_category(), "pidfd_open");
  const int child = fork();
  if (child < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (child > 0) {
    waitpid(child, nullptr, 0);
    return;
  }
  // The guard is nobody's child, because killing a process may kill its children, too, as ctest does.
  if (fork() == 0) guard(self, watched.get());
  _exit(0);
}

} // namespace test
