// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "processes.hpp"

#include "golden.hpp"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

namespace test {

qemuctl::FileDescriptor process_with(const std::string& text) {
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const int pid = std::atoi(entry.path().filename().c_str());
    std::error_code ec;
    if (pid <= 0 || !std::filesystem::exists(entry.path() / "cmdline", ec)) continue;
    try {
      if (test::read_file(entry.path() / "cmdline").find(text) != std::string::npos)
        return qemuctl::FileDescriptor(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    } catch (const std::exception&) { // it has just ended
    }
  }
  return qemuctl::FileDescriptor();
}

bool ends(const qemuctl::FileDescriptor& process) {
  pollfd wait{process.get(), POLLIN, 0};
  return ::poll(&wait, 1, 10'000) == 1;
}

} // namespace test
