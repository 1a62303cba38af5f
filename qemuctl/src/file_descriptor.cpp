// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include <qemuctl/file_descriptor.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace qemuctl {

void FileDescriptor::reset(int fd) noexcept {
  if (const int old = std::exchange(fd_, fd); old >= 0) {
    // Destructors may run between a failed call and the check of its errno. Do not retry on EINTR: Linux has released
    // the number by then (close(2)).
    const int saved = errno;
    ::close(old);
    errno = saved;
  }
}

FileDescriptor FileDescriptor::duplicate() const {
  if (fd_ < 0) return {};
  const int copy = ::fcntl(fd_, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) throw std::system_error(errno, std::generic_category(), "cannot duplicate a file descriptor");
  return FileDescriptor(copy);
}

} // namespace qemuctl
