// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// api_call SOCKET REQUEST: sends a line to the device API and prints the answer. SOCKET is a path or vsock:CID:PORT.
// api_call SOCKET REQUEST --follow: the same, and prints whatever comes after it.
//
// Linked statically: guests have no libraries.
#include <linux/vm_sockets.h> // after the sockets it needs
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <string>

namespace {

template<class Address>
int connect_to(const Address& address, int family) {
  const int fd = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  return fd < 0 || ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ? -1 : fd;
}

int connect_to(const char* where) {
  sockaddr_vm vsock{};
  vsock.svm_family = AF_VSOCK;
  if (std::sscanf(where, "vsock:%u:%u", &vsock.svm_cid, &vsock.svm_port) == 2) return connect_to(vsock, AF_VSOCK);
  sockaddr_un local{};
  local.sun_family = AF_UNIX;
  std::strncpy(local.sun_path, where, sizeof local.sun_path - 1);
  return connect_to(local, AF_UNIX);
}

} // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const int fd = connect_to(argv[1]);
  if (fd < 0) {
    std::perror("connect");
    return 1;
  }
  const std::string request = std::string(argv[2]) + "\n";
  if (::send(fd, request.data(), request.size(), 0) != static_cast<ssize_t>(request.size())) return 1;
  const bool follow = argc > 3;
  std::array<char, 4096> buffer;
  for (;;) {
    const ssize_t size = ::read(fd, buffer.data(), buffer.size());
    if (size <= 0) return follow ? 0 : 1;
    std::fwrite(buffer.data(), 1, static_cast<std::size_t>(size), stdout);
    std::fflush(stdout);
    if (!follow && buffer[static_cast<std::size_t>(size) - 1] == '\n') return 0;
  }
}
