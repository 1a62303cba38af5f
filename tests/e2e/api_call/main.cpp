// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// api_call SOCKET REQUEST: sends a line to the device API and prints the answer.
// api_call SOCKET REQUEST --follow: the same, and prints whatever comes after it.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <string>

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, argv[1], sizeof address.sun_path - 1);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
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
