// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "network_namespace.hpp"

#include "skip.hpp"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <system_error>

namespace test {

NetworkNamespace::NetworkNamespace() : before_(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) {
  if (::access("/dev/net/tun", R_OK | W_OK) != 0) skip("there is no /dev/net/tun that we may use");
  if (!before_ || ::unshare(CLONE_NEWNET) != 0) {
    if (errno == EPERM) skip("only root can make a network namespace");
    throw std::system_error(errno, std::system_category(), "make a network namespace");
  }
  shell("ip link set lo up");
}

NetworkNamespace::~NetworkNamespace() {
  if (::setns(before_.get(), CLONE_NEWNET) != 0) std::abort(); // what follows would run in the wrong place
}

std::string shell(const std::string& command) {
  std::FILE* pipe = ::popen((command + " 2>&1").c_str(), "re");
  if (!pipe) throw std::system_error(errno, std::system_category(), "run a shell");
  std::string text;
  std::array<char, 4096> buffer;
  while (const std::size_t size = std::fread(buffer.data(), 1, buffer.size(), pipe)) text.append(buffer.data(), size);
  if (::pclose(pipe) != 0) throw std::runtime_error(command + " failed: " + text);
  return text;
}

} // namespace test
