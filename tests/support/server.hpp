// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/file_descriptor.hpp>

#include <filesystem>
#include <string>
#include <vector>

namespace test {

/// A program of the machine that serves a test until the end of the scope; killed then. Its output is the test's.
class Server {
 public:
  /// Searched in `$PATH` and /usr/sbin; skips the case when it is not installed. `listener`, when there is one, is
  /// handed to it as systemd would (sd_listen_fds(3)), so that nobody has to wait until it listens. `environment`:
  /// "NAME=value".
  explicit Server(std::vector<std::string> argv, qemuctl::FileDescriptor listener = {},
                  const std::vector<std::string>& environment = {});
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

 private:
  int pid_ = -1;
};

/// Sockets that listen: on a path, and on a free port of 127.0.0.1, which is stored in `port`.
qemuctl::FileDescriptor listen_on(const std::filesystem::path& path);
qemuctl::FileDescriptor listen_on_loopback(int& port);

} // namespace test
