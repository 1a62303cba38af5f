// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "bare_api.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <string_view>

namespace bench {

namespace {

int check(int result, const char* what) {
  if (result >= 0) return result;
  std::perror(what);
  std::exit(1);
}

void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t size = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    if (size < 0) return;
    text.remove_prefix(static_cast<std::size_t>(size));
  }
}

} // namespace

void serve_bare(const std::string& socket, const std::string& answer, const std::string& event) {
  const int listener = check(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket.size() >= sizeof address.sun_path) std::exit(1);
  std::strcpy(address.sun_path, socket.c_str());
  check(::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address), "bind");
  check(::listen(listener, 4096), "listen");
  const int epoll = check(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  const auto watch = [&](int fd) {
    epoll_event wanted{};
    wanted.events = EPOLLIN;
    wanted.data.fd = fd;
    check(::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &wanted), "epoll_ctl");
  };
  watch(listener);
  std::set<int> clients;
  std::array<epoll_event, 64> ready{};
  std::array<char, 4096> bytes{};
  for (;;) {
    const int count = check(::epoll_wait(epoll, ready.data(), static_cast<int>(ready.size()), -1), "epoll_wait");
    for (int i = 0; i < count; ++i) {
      const int fd = ready[static_cast<std::size_t>(i)].data.fd;
      if (fd == listener) {
        const int client = check(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC), "accept");
        clients.insert(client);
        watch(client);
        continue;
      }
      const ssize_t size = ::recv(fd, bytes.data(), bytes.size(), 0);
      if (size <= 0) {
        clients.erase(fd);
        ::close(fd);
        continue;
      }
      if (std::string_view(bytes.data(), static_cast<std::size_t>(size)).starts_with("tell")) {
        for (const int client : clients)
          if (client != fd) write_all(client, event);
      } else {
        write_all(fd, answer);
      }
    }
  }
}

} // namespace bench
