// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/file_descriptor.hpp>

#include <string>

namespace test {

/// A network namespace for the calling thread and the processes it starts, with the loopback interface up, until the
/// end of the scope. Skips the case without the rights for it.
class NetworkNamespace {
 public:
  NetworkNamespace();
  ~NetworkNamespace();
  NetworkNamespace(const NetworkNamespace&) = delete;
  NetworkNamespace& operator=(const NetworkNamespace&) = delete;

 private:
  qemuctl::FileDescriptor before_;
};

/// Runs a command of the shell and returns what it printed. Throws when it fails.
std::string shell(const std::string& command);

} // namespace test
