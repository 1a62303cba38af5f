// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "socket_tables.hpp"

#include "catch.hpp"
#include "duration_text.hpp"

#include <qemuctl/file_descriptor.hpp>

#include <sys/stat.h>

#include <algorithm>

using namespace qemuctl::detail;
using namespace std::chrono_literals;

TEST_CASE("a line of /proc/net/tcp is parsed") {
  const auto socket = parse_tcp_socket("   3: 0100007F:115C 0100007F:D2F0 01 00000000:00000000 00:00000000 00000000  "
                                       "1000        0 48152 1 0000000000000000 20 4 30 10 -1");
  REQUIRE(socket);
  CHECK(socket->state == SocketState::established);
  CHECK(socket->local.port == 4444);
  CHECK(socket->remote.port == 54000);
  CHECK(socket->local.address == std::array<std::uint8_t, 16>{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1});
  CHECK(socket->inode == 48152);
}

TEST_CASE("IPv4 addresses of /proc/net/tcp6 equal those of /proc/net/tcp") {
  const auto mapped =
      parse_tcp_socket(" 0: 0000000000000000FFFF00000100007F:115C 00000000000000000000000001000000:0000 "
                       "0A 00000000:00000000 00:00000000 00000000 0 0 7 1 0");
  const auto plain = parse_tcp_socket(
      " 0: 0100007F:115C 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 7 1 0000000000000000");
  REQUIRE(mapped);
  REQUIRE(plain);
  CHECK(mapped->local == plain->local);
  CHECK(mapped->state == SocketState::listening);
  CHECK(is_any_address(plain->remote.address));
  CHECK_FALSE(is_any_address(mapped->remote.address)); // ::1
  CHECK(mapped->remote.address[15] == 1);
}

TEST_CASE("lines that are not entries of /proc/net/tcp are skipped") {
  for (const auto* line :
       {"", "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
        "0: 0100007F:115C", "0: 0100007:115C 00000000:0000 0A 0:0 0:0 0 0 0 7",
        "0: 0100007F:115C 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 inode",
        "0: 0100007F:1115C 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 7"})
    CHECK_FALSE(parse_tcp_socket(line));
}

TEST_CASE("the kernel's table of Unix sockets links the two ends of a socket pair") {
  int pair[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
  const qemuctl::FileDescriptor first(pair[0]);
  const qemuctl::FileDescriptor second(pair[1]);
  struct stat first_status {};
  struct stat second_status {};
  REQUIRE(fstat(first.get(), &first_status) == 0);
  REQUIRE(fstat(second.get(), &second_status) == 0);
  const auto sockets = read_unix_sockets();
  const auto entry = std::find_if(sockets.begin(), sockets.end(),
                                  [&](const UnixSocketEntry& socket) { return socket.inode == first_status.st_ino; });
  REQUIRE(entry != sockets.end());
  CHECK(entry->peer_inode == second_status.st_ino);
  CHECK(entry->name.empty());
  CHECK(entry->state == SocketState::established);
}

TEST_CASE("durations are formatted for humans") {
  CHECK(duration_text(0ms) == "0 ms");
  CHECK(duration_text(-5ms) == "0 ms");
  CHECK(duration_text(999ms) == "999 ms");
  CHECK(duration_text(1s) == "1 s");
  CHECK(duration_text(1'540ms) == "1.5 s");
  CHECK(duration_text(30s) == "30 s");
}
