// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/file_descriptor.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace qemuctl::detail {

/// Messages waiting to be written to a stream socket, in order, each with its file descriptors.
///
/// Each message gets its own `sendmsg`, because the kernel ties descriptors to the first byte of that call, and QEMU
/// gives them to the command that byte belongs to. A partly written message is always completed, as the stream would be
/// unreadable otherwise.
class Outbox {
 public:
  using Id = std::uint64_t;

  /// How many descriptors one message can carry (TCP_MAX_FDS of QEMU's chardev/char-socket.c).
  static constexpr std::size_t max_descriptors = 16;

  void push(Id id, std::string bytes, std::vector<FileDescriptor> descriptors = {});

  struct Flushed {
    std::error_code broken; ///< the connection cannot be written to any more; the messages stay
    /// Messages dropped unsent because the kernel would not pass their descriptors on, such as too many in flight.
    std::vector<std::pair<Id, std::error_code>> refused;
  };

  /// Writes as much as the socket accepts without blocking.
  Flushed flush(int socket);

  /// Withdraws a message and its descriptors. False if it was partly written or is gone: the peer may have seen it.
  bool take_back(Id id);

  bool empty() const noexcept { return messages_.empty(); }

 private:
  struct Message {
    Id id;
    std::string bytes;
    std::vector<FileDescriptor> descriptors;
    std::size_t written = 0;
  };

  std::deque<Message> messages_;
};

} // namespace qemuctl::detail
