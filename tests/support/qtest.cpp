// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "qtest.hpp"

#include "catch.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <utility>

namespace test {

Qtest::Qtest(std::filesystem::path path)
    : path_(std::move(path)), listener_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path_.c_str(), sizeof address.sun_path - 1);
  REQUIRE(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(::listen(listener_.get(), 1) == 0);
}

std::vector<std::string> Qtest::arguments() const {
  return {"-qtest", "unix:" + path_.string(), "-qtest-log", "none"};
}

void Qtest::accept() {
  const timeval patience{10, 0};
  ::setsockopt(listener_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  connection_.reset(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  REQUIRE(connection_);
  ::setsockopt(connection_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
}

void Qtest::command(const std::string& line) {
  REQUIRE(::send(connection_.get(), (line + "\n").data(), line.size() + 1, MSG_NOSIGNAL) ==
          static_cast<ssize_t>(line.size() + 1));
  std::string reply;
  for (char c = 0; c != '\n'; reply += c) REQUIRE(::recv(connection_.get(), &c, 1, 0) == 1);
  REQUIRE(reply.starts_with("OK"));
}

void Qtest::atapi_packet(const std::array<std::uint8_t, 12>& packet) {
  command("outb 0x1f6 0xa0"); // the first drive
  command("outb 0x1f7 0xa0"); // PACKET
  for (std::size_t i = 0; i < packet.size(); i += 2)
    command(fmt::format("outw 0x1f0 {:#x}", packet[i] | packet[i + 1] << 8));
}

} // namespace test
