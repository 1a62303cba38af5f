// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/file_descriptor.hpp>

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

namespace bench {

/// The least that works: blocking system calls on a connected socket, no checks beyond what the measurement needs. It
/// is the baseline, and it exits the program when something goes wrong.
class BareQmp {
 public:
  explicit BareQmp(qemuctl::FileDescriptor socket) : socket_(std::move(socket)) {}

  /// Reads the greeting, sends `qmp_capabilities` and reads its reply.
  void negotiate();

  void send(std::string_view bytes);

  /// Reads until `count` replies have come and returns the bytes of the last message.
  std::string_view receive(int count);

 private:
  qemuctl::FileDescriptor socket_;
  std::string buffer_;
};

/// A QEMU started by bare system calls: `argv` with a socket pair as descriptor 3 and a listening socket at `monitor`
/// as descriptor 4.
struct BareQemu {
  pid_t pid;
  BareQmp qmp;
};
BareQemu launch_bare(const std::vector<std::string>& argv, const std::string& monitor);

void kill_and_reap(pid_t pid);

/// A connected Unix socket.
qemuctl::FileDescriptor connect_bare(const std::string& path);

} // namespace bench
