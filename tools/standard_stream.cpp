// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "standard_stream.hpp"

#include <qemuctl/file_descriptor.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>

namespace tool {

namespace {

/// Only what has no file position: a file opened again would be written from its beginning.
bool can_be_opened_again(int fd) {
  struct stat status {};
  return ::fstat(fd, &status) == 0 && (S_ISFIFO(status.st_mode) || ::isatty(fd) == 1);
}

} // namespace

StandardStream::StandardStream(const asio::any_io_executor& executor, int fd)
    : descriptor_(executor), is_terminal_(::isatty(fd) == 1) {
  const int flags = ::fcntl(fd, F_GETFL);
  qemuctl::FileDescriptor opened;
  if (flags >= 0 && can_be_opened_again(fd)) {
    const std::string path = "/proc/self/fd/" + std::to_string(fd);
    opened.reset(::open(path.c_str(), (flags & O_ACCMODE) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  }
  if (!opened) {
    opened.reset(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
    if (!opened) throw std::system_error(errno, std::generic_category(), "cannot use a standard stream");
    if ((flags & O_NONBLOCK) == 0 && ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0) shared_fd_ = fd;
  }
  descriptor_.assign(opened.get());
  static_cast<void>(opened.release());
}

StandardStream::~StandardStream() {
  if (shared_fd_ < 0) return;
  const int flags = ::fcntl(shared_fd_, F_GETFL);
  if (flags >= 0) ::fcntl(shared_fd_, F_SETFL, flags & ~O_NONBLOCK);
}

} // namespace tool
