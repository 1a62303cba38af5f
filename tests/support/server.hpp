// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/file_descriptor.hpp>

#include <filesystem>
#include <string>
#include <vector>

namespace test {

/// An installed program that serves a test until the end of the scope, when it is killed. It shares the test's output.
class Server {
 public:
  /// Searched for in `$PATH` and /usr/sbin; skips the case if it is not installed. `listener`, if any, is passed to it
  /// as by systemd (sd_listen_fds(3)), so that nobody has to wait until it listens. `environment`:
  /// "NAME=value".
  explicit Server(std::vector<std::string> argv, qemuctl::FileDescriptor listener = {},
                  const std::vector<std::string>& environment = {});
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

 private:
  int pid_ = -1;
};

/// Listening sockets: on a path, and on a free port of 127.0.0.1, which is stored in `port`.
qemuctl::FileDescriptor listen_on(const std::filesystem::path& path);
qemuctl::FileDescriptor listen_on_loopback(int& port);

} // namespace test
