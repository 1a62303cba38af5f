// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "bare_qmp.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace bench {
namespace {

void require(bool condition, const char* what) {
  if (condition) return;
  std::perror(what);
  std::exit(1);
}

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return address;
}

} // namespace

void BareQmp::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    require(sent > 0, "send");
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

std::string_view BareQmp::receive(int count) {
  // QEMU ends every message with CRLF, and events are not expected during a measurement.
  buffer_.clear();
  std::size_t begin = 0;
  std::size_t scanned = 0;
  for (;;) {
    const std::size_t size = buffer_.size();
    buffer_.resize(size + 65'536);
    const ssize_t received = ::recv(socket_.get(), buffer_.data() + size, 65'536, 0);
    require(received > 0, "recv");
    buffer_.resize(size + static_cast<std::size_t>(received));
    for (std::size_t end; (end = buffer_.find('\n', scanned)) != std::string::npos; scanned = end + 1) {
      if (--count == 0) return std::string_view(buffer_).substr(begin, end - begin);
      begin = end + 1;
    }
    scanned = buffer_.size();
  }
}

void BareQmp::negotiate() {
  receive(1);
  send("{\"execute\":\"qmp_capabilities\",\"id\":1}\n");
  receive(1);
}

qemuctl::FileDescriptor connect_bare(const std::string& path) {
  qemuctl::FileDescriptor fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_un address = address_of(path);
  require(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0, "connect");
  return fd;
}

BareQemu launch_bare(const std::vector<std::string>& argv, const std::string& monitor) {
  int pair[2];
  require(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
  qemuctl::FileDescriptor ours(pair[0]);
  qemuctl::FileDescriptor theirs(::fcntl(pair[1], F_DUPFD_CLOEXEC, 10));
  ::close(pair[1]);
  const int socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  qemuctl::FileDescriptor listener(::fcntl(socket, F_DUPFD_CLOEXEC, 10));
  ::close(socket);
  const sockaddr_un address = address_of(monitor);
  ::unlink(monitor.c_str());
  require(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0, "bind");
  require(::listen(listener.get(), 1) == 0, "listen");

  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, theirs.get(), 3);
  ::posix_spawn_file_actions_adddup2(&actions, listener.get(), 4);
  std::vector<char*> words;
  for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  pid_t pid = 0;
  require(::posix_spawn(&pid, words[0], &actions, nullptr, words.data(), environ) == 0, "posix_spawn");
  ::posix_spawn_file_actions_destroy(&actions);
  BareQemu qemu{pid, BareQmp(std::move(ours))};
  qemu.qmp.negotiate();
  return qemu;
}

void kill_and_reap(pid_t pid) {
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
}

} // namespace bench
