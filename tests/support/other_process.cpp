// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "other_process.hpp"

#include <qemuctl/file_descriptor.hpp>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <stdexcept>
#include <system_error>

namespace test {

OtherProcess::OtherProcess(const std::string& name) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe2");
  const qemuctl::FileDescriptor reading(ends[0]);
  qemuctl::FileDescriptor writing(ends[1]);
  pid_ = fork();
  if (pid_ < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL); // should the test be killed
    prctl(PR_SET_NAME, name.c_str());
    if (write(writing.get(), "x", 1) != 1) _exit(1);
    for (;;) pause();
  }
  writing.reset();
  char sign = 0;
  if (read(reading.get(), &sign, 1) != 1) throw std::runtime_error("the other process ended at once");
}

OtherProcess::~OtherProcess() {
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

} // namespace test
