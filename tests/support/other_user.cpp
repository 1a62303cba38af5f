// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "other_user.hpp"

#include "skip.hpp"

#include <qemuctl/file_descriptor.hpp>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <exception>
#include <system_error>

namespace test {

void need_root() {
  if (::geteuid() != 0) skip("only root can become another user or make namespaces here: run the tests as root");
}

std::string as_nobody(const std::function<std::string()>& function) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
  qemuctl::FileDescriptor read(ends[0]);
  qemuctl::FileDescriptor write(ends[1]);
  const pid_t pid = ::fork();
  if (pid < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (pid == 0) {
    constexpr uid_t nobody = 65'534;
    std::string text = "it failed";
    if (::setresgid(nobody, nobody, nobody) == 0 && ::setresuid(nobody, nobody, nobody) == 0) try {
        text = function();
      } catch (const std::exception& error) {
        text = error.what();
      }
    const ssize_t written = ::write(write.get(), text.data(), text.size());
    ::_exit(written < 0 ? 1 : 0);
  }
  write.reset();
  std::string text(4'096, '\0');
  const ssize_t count = ::read(read.get(), text.data(), text.size());
  ::waitpid(pid, nullptr, 0);
  text.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
  return text;
}

} // namespace test
