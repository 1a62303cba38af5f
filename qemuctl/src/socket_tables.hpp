// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qemuctl::detail {

/// The kernel's numbering, the same for both tables (include/net/tcp_states.h).
enum class SocketState : std::uint8_t { established = 1, listening = 10 };

/// A Unix stream socket of this network namespace, as sock_diag(7) describes it.
struct UnixSocketEntry {
  SocketState state{};
  std::uint64_t inode = 0; ///< 0 while no process has accepted it
  std::string name;        ///< as it was bound; a leading NUL means abstract
  std::optional<std::uint32_t> file_inode, file_device;
  std::optional<std::uint64_t> peer_inode; ///< 0 when the peer was not accepted yet
};

/// All listening and connected ones; empty if the kernel cannot be queried.
std::vector<UnixSocketEntry> read_unix_sockets();

/// IPv4 addresses in their IPv6 form (::ffff:1.2.3.4), so that both ends of one connection can be compared.
struct TcpEndpoint {
  std::array<std::uint8_t, 16> address{};
  std::uint16_t port = 0;
  bool operator==(const TcpEndpoint&) const = default;
};

std::optional<TcpEndpoint> to_tcp_endpoint(const sockaddr_storage& address);

/// 0.0.0.0 or ::
bool is_any_address(const std::array<std::uint8_t, 16>& address);

struct TcpSocketEntry {
  SocketState state{};
  TcpEndpoint local, remote;
  std::uint64_t inode = 0; ///< 0 while no process has accepted it
};

/// The sockets of this network namespace, from /proc/net/tcp and /proc/net/tcp6.
std::vector<TcpSocketEntry> read_tcp_sockets();

/// One line of those files; nullopt for the heading and any other text.
std::optional<TcpSocketEntry> parse_tcp_socket(std::string_view line);

} // namespace qemuctl::detail
