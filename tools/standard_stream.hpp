// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/posix/stream_descriptor.hpp>

namespace tool {

/// stdin, stdout or stderr, opened so that this process can wait on it without blocking.
///
/// O_NONBLOCK belongs to the open file, which a shell and every program of a pipeline share. So a terminal or pipe is
/// opened once more, for this process alone; where that is refused the flag is set on the shared file and taken back at
/// the end.
class StandardStream {
 public:
  /// `fd` is 0, 1 or 2. Throws `std::system_error` when it is not open.
  StandardStream(const asio::any_io_executor& executor, int fd);
  ~StandardStream();
  StandardStream(const StandardStream&) = delete;
  StandardStream& operator=(const StandardStream&) = delete;

  asio::posix::stream_descriptor& descriptor() noexcept { return descriptor_; }
  bool is_terminal() const noexcept { return is_terminal_; }

 private:
  asio::posix::stream_descriptor descriptor_;
  int shared_fd_ = -1; ///< where O_NONBLOCK has to be taken back
  bool is_terminal_;
};

} // namespace tool
