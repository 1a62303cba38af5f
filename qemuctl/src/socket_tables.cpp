// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "socket_tables.hpp"

#include <qemuctl/file_descriptor.hpp>

#include <arpa/inet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>

namespace qemuctl::detail {

namespace {

template<typename T>
T read_as(const void* data) {
  T value;
  std::memcpy(&value, data, sizeof value);
  return value;
}

UnixSocketEntry parse_unix_socket(const nlmsghdr* message) {
  const auto* diag = static_cast<const unix_diag_msg*>(NLMSG_DATA(message));
  UnixSocketEntry entry;
  entry.state = static_cast<SocketState>(diag->udiag_state);
  entry.inode = diag->udiag_ino;
  auto length = static_cast<int>(message->nlmsg_len - NLMSG_LENGTH(sizeof *diag));
  for (auto* attribute = reinterpret_cast<const rtattr*>(diag + 1); RTA_OK(attribute, length);
       attribute = RTA_NEXT(attribute, length)) {
    const auto* data = static_cast<const char*>(RTA_DATA(attribute));
    const std::size_t size = RTA_PAYLOAD(attribute);
    switch (attribute->rta_type) {
    case UNIX_DIAG_NAME:
      entry.name.assign(data, size);
      // A path comes with the NUL that ends it, or without when it fills all of sun_path.
      if (!entry.name.starts_with('\0')) entry.name.resize(strnlen(data, size));
      break;
    case UNIX_DIAG_VFS:
      if (size >= sizeof(unix_diag_vfs)) {
        const auto vfs = read_as<unix_diag_vfs>(data);
        entry.file_inode = vfs.udiag_vfs_ino;
        entry.file_device = vfs.udiag_vfs_dev;
      }
      break;
    case UNIX_DIAG_PEER:
      if (size >= sizeof(std::uint32_t)) entry.peer_inode = read_as<std::uint32_t>(data);
      break;
    default:
      break;
    }
  }
  return entry;
}

template<typename T>
bool parse_hex(std::string_view text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  return error == std::errc{} && end == text.data() + text.size();
}

/// "0100007F:1F90": 32-bit words of network order, each printed as a number of this machine.
std::optional<TcpEndpoint> parse_tcp_endpoint(std::string_view text) {
  const auto colon = text.find(':');
  TcpEndpoint endpoint;
  if ((colon != 8 && colon != 32) || !parse_hex(text.substr(colon + 1), endpoint.port)) return std::nullopt;
  const std::size_t words = colon / 8;
  if (words == 1) endpoint.address[10] = endpoint.address[11] = 0xff;
  for (std::size_t i = 0; i < words; ++i) {
    std::uint32_t word = 0;
    if (!parse_hex(text.substr(8 * i, 8), word)) return std::nullopt;
    std::memcpy(endpoint.address.data() + 16 - 4 * words + 4 * i, &word, sizeof word);
  }
  return endpoint;
}

std::string_view next_word(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
  const auto word = line.substr(0, line.find_first_of(" \t"));
  line.remove_prefix(word.size());
  return word;
}

} // namespace

std::vector<UnixSocketEntry> read_unix_sockets() {
  const FileDescriptor netlink(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!netlink) return {};
  // The kernel answers before send() returns; this only keeps a surprise from becoming a hang.
  const timeval patience{1, 0};
  setsockopt(netlink.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);

  struct {
    nlmsghdr header;
    unix_diag_req request;
  } query{};
  query.header.nlmsg_len = sizeof query;
  query.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  query.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  query.request.sdiag_family = AF_UNIX;
  query.request.udiag_states =
      1U << static_cast<unsigned>(SocketState::established) | 1U << static_cast<unsigned>(SocketState::listening);
  query.request.udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_VFS | UDIAG_SHOW_PEER;
  if (::send(netlink.get(), &query, sizeof query, 0) < 0) return {};

  std::vector<UnixSocketEntry> sockets;
  std::vector<char> buffer(std::size_t{64} << 10);
  for (;;) {
    const auto received = ::recv(netlink.get(), buffer.data(), buffer.size(), 0);
    if (received < 0 && errno == EINTR) continue;
    if (received <= 0) return {};
    auto rest = static_cast<unsigned>(received);
    for (auto* message = reinterpret_cast<const nlmsghdr*>(buffer.data()); NLMSG_OK(message, rest);
         message = NLMSG_NEXT(message, rest)) {
      if (message->nlmsg_type == NLMSG_DONE) return sockets;
      if (message->nlmsg_type == NLMSG_ERROR) return {};
      if (message->nlmsg_type == SOCK_DIAG_BY_FAMILY && message->nlmsg_len >= NLMSG_LENGTH(sizeof(unix_diag_msg)))
        sockets.push_back(parse_unix_socket(message));
    }
  }
}

std::optional<TcpEndpoint> to_tcp_endpoint(const sockaddr_storage& address) {
  TcpEndpoint endpoint;
  if (address.ss_family == AF_INET) {
    const auto ipv4 = read_as<sockaddr_in>(&address);
    endpoint.address[10] = endpoint.address[11] = 0xff;
    std::memcpy(endpoint.address.data() + 12, &ipv4.sin_addr, sizeof ipv4.sin_addr);
    endpoint.port = ntohs(ipv4.sin_port);
  } else if (address.ss_family == AF_INET6) {
    const auto ipv6 = read_as<sockaddr_in6>(&address);
    std::memcpy(endpoint.address.data(), &ipv6.sin6_addr, sizeof ipv6.sin6_addr);
    endpoint.port = ntohs(ipv6.sin6_port);
  } else {
    return std::nullopt;
  }
  return endpoint;
}

bool is_any_address(const std::array<std::uint8_t, 16>& address) {
  constexpr std::array<std::uint8_t, 16> any_ipv4{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0};
  return address == std::array<std::uint8_t, 16>{} || address == any_ipv4;
}

std::optional<TcpSocketEntry> parse_tcp_socket(std::string_view line) {
  // sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode
  next_word(line);
  const auto local = parse_tcp_endpoint(next_word(line));
  const auto remote = parse_tcp_endpoint(next_word(line));
  std::uint8_t state = 0;
  if (!local || !remote || !parse_hex(next_word(line), state)) return std::nullopt;
  for (int skipped = 0; skipped < 5; ++skipped) next_word(line);
  const auto inode = next_word(line);
  TcpSocketEntry entry{static_cast<SocketState>(state), *local, *remote};
  const auto [end, error] = std::from_chars(inode.data(), inode.data() + inode.size(), entry.inode);
  if (error != std::errc{} || end != inode.data() + inode.size()) return std::nullopt;
  return entry;
}

std::vector<TcpSocketEntry> read_tcp_sockets() {
  std::vector<TcpSocketEntry> sockets;
  for (const char* table : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    std::ifstream file(table);
    for (std::string line; std::getline(file, line);)
      if (const auto socket = parse_tcp_socket(line)) sockets.push_back(*socket);
  }
  return sockets;
}

} // namespace qemuctl::detail
