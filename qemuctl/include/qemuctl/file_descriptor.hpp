// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

namespace qemuctl {

/// Owns one open file descriptor and closes it. Movable, not copyable; not thread-safe.
class FileDescriptor {
 public:
  FileDescriptor() noexcept = default;

  /// Takes ownership of `fd`; a negative value means "none".
  explicit FileDescriptor(int fd) noexcept : fd_(fd) {}

  FileDescriptor(FileDescriptor&& other) noexcept : fd_(other.release()) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  ~FileDescriptor() { reset(); }

  int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }

  /// Gives up ownership and returns the descriptor, or -1.
  [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }

  /// Closes the held descriptor and takes ownership of `fd`.
  void reset(int fd = -1) noexcept;

  /// A second descriptor (close-on-exec) for the same open file. Throws `std::system_error` if the process has
  /// too many open.
  FileDescriptor duplicate() const;

 private:
  int fd_ = -1;
};

} // namespace qemuctl
