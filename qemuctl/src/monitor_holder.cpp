// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "monitor_holder.hpp"

#include "socket_tables.hpp"
#include "text.hpp"

#include <asio/ip/address.hpp>
#include <dirent.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>

namespace qemuctl::detail {

namespace {

std::uint64_t inode_of(int fd) {
  struct stat status {};
  return fd >= 0 && fstat(fd, &status) == 0 ? status.st_ino : 0;
}

template<typename Visit>
void each_number_in(const std::string& folder, Visit visit) {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir(folder.c_str()), closedir);
  if (!dir) return;
  while (const dirent* entry = readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    int number = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (error == std::errc{} && end == name.data() + name.size() && !visit(number)) return;
  }
}

/// The process that has the socket open. Those of other users cannot be looked into without privileges.
std::optional<int> owner_of_socket(std::uint64_t inode) {
  if (inode == 0) return std::nullopt;
  const std::string wanted = fmt::format("socket:[{}]", inode);
  std::optional<int> owner;
  each_number_in("/proc", [&](int pid) {
    const std::string folder = fmt::format("/proc/{}/fd", pid);
    each_number_in(folder, [&](int fd) {
      char target[64];
      const auto length = readlink(fmt::format("{}/{}", folder, fd).c_str(), target, sizeof target);
      if (length > 0 && std::string_view(target, static_cast<std::size_t>(length)) == wanted) owner = pid;
      return !owner;
    });
    return !owner;
  });
  return owner;
}

std::optional<MonitorHolder> holder_of_socket(std::uint64_t inode) {
  const auto pid = owner_of_socket(inode);
  if (!pid) return std::nullopt;
  MonitorHolder holder{*pid, {}};
  std::ifstream comm(fmt::format("/proc/{}/comm", *pid));
  std::getline(comm, holder.command);
  holder.command = printable(holder.command); // a process chooses its own name
  return holder;
}

/// Which of the kernel's Unix sockets belong to one monitor: the listening one and those made for its clients.
class UnixMonitor {
 public:
  UnixMonitor(const UnixPath& address, int own_socket) : name_(address.path) {
    struct stat status {};
    if (stat(address.path.c_str(), &status) == 0) {
      inode_ = static_cast<std::uint32_t>(status.st_ino);
      // sock_diag has the kernel's own dev_t, stat the one of the system call interface.
      device_ = static_cast<std::uint32_t>(major(status.st_dev) << 20 | minor(status.st_dev));
    }
    // The name as the server bound it, which may be relative or lead through other links than ours.
    sockaddr_un peer{};
    socklen_t length = sizeof peer;
    if (own_socket >= 0 && getpeername(own_socket, reinterpret_cast<sockaddr*>(&peer), &length) == 0 &&
        length > offsetof(sockaddr_un, sun_path))
      name_.assign(peer.sun_path, strnlen(peer.sun_path, length - offsetof(sockaddr_un, sun_path)));
  }

  explicit UnixMonitor(const UnixAbstract& address) : name_('\0' + address.name) {
    if (!address.tight) name_.resize(sizeof(sockaddr_un::sun_path));
  }

  bool owns(const UnixSocketEntry& socket) const {
    if (name_.starts_with('\0')) return socket.name == name_;
    // The file says it; only where the kernel numbers the device differently than stat does (btrfs, overlayfs), its
    // name must help.
    return inode_ && socket.file_inode == inode_ && (socket.file_device == device_ || socket.name == name_);
  }

 private:
  std::string name_;
  std::optional<std::uint32_t> inode_;
  std::optional<std::uint32_t> device_;
};

MonitorUse inspect_unix(const UnixMonitor& monitor, int own_socket) {
  MonitorUse use;
  const auto sockets = read_unix_sockets();
  const std::uint64_t own_inode = inode_of(own_socket);
  for (const UnixSocketEntry& socket : sockets) {
    if (own_inode != 0 && socket.inode == own_inode) use.accepted_us = socket.peer_inode.value_or(0) != 0;
    if (!monitor.owns(socket)) continue;
    if (use.served == MonitorUse::Served::unknown) use.served = MonitorUse::Served::nobody;
    // A connection that is still in the server's queue belongs to nobody and has no inode.
    const bool accepted = socket.state == SocketState::established && socket.inode != 0;
    if (!accepted || (own_inode != 0 && socket.peer_inode == own_inode)) continue;
    use.served = MonitorUse::Served::a_client;
    if (!use.holder && socket.peer_inode) use.holder = holder_of_socket(*socket.peer_inode);
  }
  return use;
}

std::optional<TcpEndpoint> endpoint_of(int socket, decltype(getpeername)* get) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  if (socket < 0 || get(socket, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return std::nullopt;
  return to_tcp_endpoint(storage);
}

std::optional<TcpEndpoint> endpoint_of(const TcpAddress& address) {
  std::error_code ec;
  const auto numeric = asio::ip::make_address(address.host, ec);
  if (ec) return std::nullopt;
  TcpEndpoint endpoint;
  endpoint.port = address.port;
  endpoint.address =
      (numeric.is_v6() ? numeric.to_v6() : asio::ip::make_address_v6(asio::ip::v4_mapped, numeric.to_v4())).to_bytes();
  return endpoint;
}

MonitorUse inspect_tcp(const TcpAddress& address, int own_socket) {
  auto server = endpoint_of(own_socket, getpeername);
  if (!server) server = endpoint_of(address);
  if (!server) return {};
  const auto own = endpoint_of(own_socket, getsockname);

  const auto sockets = read_tcp_sockets();
  const auto listener = std::find_if(sockets.begin(), sockets.end(), [&](const TcpSocketEntry& socket) {
    return socket.state == SocketState::listening && socket.local.port == server->port &&
           (socket.local.address == server->address || is_any_address(socket.local.address));
  });
  if (listener == sockets.end()) return {};

  MonitorUse use;
  use.served = MonitorUse::Served::nobody;
  use.server_pid = owner_of_socket(listener->inode);
  for (const TcpSocketEntry& served : sockets) {
    if (served.state != SocketState::established || served.local.port != server->port ||
        (served.local.address != listener->local.address && !is_any_address(listener->local.address)))
      continue;
    const bool accepted = served.inode != 0;
    if (own && served.remote == *own) {
      use.accepted_us = accepted;
      continue;
    }
    if (!accepted) continue;
    use.served = MonitorUse::Served::a_client;
    const auto client = std::find_if(sockets.begin(), sockets.end(), [&](const TcpSocketEntry& socket) {
      return socket.local == served.remote && socket.remote == served.local;
    });
    if (!use.holder && client != sockets.end()) use.holder = holder_of_socket(client->inode);
  }
  return use;
}

} // namespace

MonitorUse inspect_monitor_use(const MonitorAddress& address, int own_socket) {
  struct Visitor {
    int own_socket;
    MonitorUse operator()(const UnixPath& path) const {
      return inspect_unix(UnixMonitor(path, own_socket), own_socket);
    }
    MonitorUse operator()(const UnixAbstract& name) const { return inspect_unix(UnixMonitor(name), own_socket); }
    MonitorUse operator()(const TcpAddress& tcp) const { return inspect_tcp(tcp, own_socket); }
  };
  return std::visit(Visitor{own_socket}, address);
}

std::optional<MonitorHolder> find_monitor_holder(const MonitorAddress& address, int own_socket) {
  return inspect_monitor_use(address, own_socket).holder;
}

} // namespace qemuctl::detail
