// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "api_listener.hpp"

#include "unix_socket.hpp"

#include <qemuctl/error.hpp>

#include <arpa/inet.h>
#include <asio/ip/tcp.hpp>
#include <fmt/format.h>
#include <grp.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

namespace hotplug::detail {

using asio::generic::stream_protocol;
using qemuctl::errc;

namespace {

[[noreturn]] void fail(std::error_code code, const std::string& address, std::string detail, std::string advice = {}) {
  qemuctl::Diagnostics diagnostics;
  diagnostics.operation = "listen for the device API";
  diagnostics.subject = address;
  diagnostics.detail = std::move(detail);
  diagnostics.advice = std::move(advice);
  throw qemuctl::Error(code, std::move(diagnostics));
}

void check(const std::error_code& code, const std::string& address, std::string advice = {}) {
  if (code) fail(code, address, code.message(), std::move(advice));
}

void check_call(int result, const std::string& address) {
  if (result != 0) check(std::error_code(errno, std::generic_category()), address);
}

void set_owner(const std::string& path, const ApiConfig& config) {
  uid_t user = static_cast<uid_t>(-1);
  gid_t group = static_cast<gid_t>(-1);
  if (!config.unix_socket_user.empty()) {
    const passwd* found = ::getpwnam(config.unix_socket_user.c_str());
    if (!found)
      fail(errc::not_found, path, "there is no user " + config.unix_socket_user, "See general.api.unixSocketUser.");
    user = found->pw_uid;
  }
  if (!config.unix_socket_group.empty()) {
    const ::group* found = ::getgrnam(config.unix_socket_group.c_str());
    if (!found)
      fail(errc::not_found, path, "there is no group " + config.unix_socket_group, "See general.api.unixSocketGroup.");
    group = found->gr_gid;
  }
  check_call(::lchown(path.c_str(), user, group), path);
}

[[noreturn]] void already_serves(const std::string& path) {
  const int pid = qemuctl::detail::listener_of(path);
  fail(errc::already_running, path,
       pid > 0 ? fmt::format("process {} listens there", pid) : std::string("another process listens there"),
       "End that program, or choose another general.api.unixSocket.");
}

/// Of any transport.
union Address {
  sockaddr any;
  sockaddr_in v4;
  sockaddr_in6 v6;
  sockaddr_vm vm;
  sockaddr_storage space;
};

/// The groups of the process, which are those that it may use files by.
std::vector<std::uint32_t> groups_of(int socket, gid_t primary) {
  std::vector<gid_t> groups(64);
  socklen_t size = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
  int result = ::getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size);
  if (result != 0 && errno == ERANGE) { // then `size` is what it takes
    groups.resize(size / sizeof(gid_t));
    result = ::getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size);
  }
  groups.resize(result == 0 ? size / sizeof(gid_t) : 0);
  groups.push_back(primary);
  return {groups.begin(), groups.end()};
}

} // namespace

ApiListener::ApiListener(const asio::any_io_executor& executor, const std::string& name, const ApiConfig& config)
    : acceptor(executor), transport(name) {
  if (name == "unix")
    listen_unix(config);
  else if (name == "tcp")
    listen_tcp(config);
  else if (name == "vsock")
    listen_vsock(config);
  else
    fail(errc::invalid_argument, name, "there is no such transport", "They are \"tcp\", \"vsock\" and \"unix\".");
}

ApiListener::~ApiListener() {
  remove_file();
}

void ApiListener::remove_file() noexcept {
  struct stat now {};
  if (!file_.empty() && ::lstat(file_.c_str(), &now) == 0 && now.st_dev == device_ && now.st_ino == inode_)
    ::unlink(file_.c_str());
}

void ApiListener::listen_unix(const ApiConfig& config) {
  const std::string& path = config.unix_socket;
  const sockaddr_un address = qemuctl::detail::unix_address_of(path);
  if (path.size() >= sizeof address.sun_path)
    fail(errc::invalid_argument, path, "the path of a socket has at most 107 bytes");
  std::error_code ec;
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (!folder.empty()) std::filesystem::create_directories(folder, ec);
  std::string holder;
  claim_ = Claim::take(folder.empty() ? "." : folder, std::filesystem::path(path).filename().string() + ".lock",
                       "the device API", holder);
  if (!claim_) already_serves(path);
  if (std::filesystem::is_socket(path, ec)) {
    if (qemuctl::detail::listener_of(path) != 0) already_serves(path);
    ::unlink(path.c_str());
  }
  acceptor.open(stream_protocol(AF_UNIX, 0));
  // Nobody can connect before it listens, and it listens only once its owner and mode are set.
  const mode_t before = ::umask(static_cast<mode_t>(~config.unix_socket_mode & 0777));
  acceptor.bind(stream_protocol::endpoint(&address, sizeof address), ec);
  ::umask(before);
  check(ec, path);
  struct stat file {};
  check_call(::lstat(path.c_str(), &file), path);
  file_ = path;
  device_ = file.st_dev;
  inode_ = file.st_ino;
  try {
    set_owner(path, config);
    acceptor.listen(ApiAcceptor::max_listen_connections, ec);
    check(ec, path);
  } catch (...) { // the destructor does not run
    remove_file();
    throw;
  }
}

asio::ip::address check_tcp_address(const ApiConfig& config) {
  const std::string subject = fmt::format("{}, port {}", config.host, config.port);
  std::error_code ec;
  const asio::ip::address address = asio::ip::make_address(config.host == "localhost" ? "127.0.0.1" : config.host, ec);
  if (ec)
    fail(errc::invalid_argument, subject, "this is not an IP address",
         "Set general.api.host to an IP address or \"localhost\".");
  if (!address.is_loopback() && config.token_file.empty() && !config.allow_unauthenticated)
    fail(errc::invalid_argument, subject, "every host in the network could move devices",
         "Set general.api.host to \"127.0.0.1\", or general.api.tokenFile to a file with what clients have to know, or "
         "general.api.allowUnauthenticated to true.");
  return address;
}

void ApiListener::listen_tcp(const ApiConfig& config) {
  const std::string subject = fmt::format("{}, port {}", config.host, config.port);
  std::error_code ec;
  const asio::ip::address address = check_tcp_address(config);
  const asio::ip::tcp::endpoint endpoint(address, static_cast<std::uint16_t>(config.port));
  acceptor.open(stream_protocol(endpoint.protocol()));
  acceptor.set_option(ApiAcceptor::reuse_address(true));
  acceptor.bind(stream_protocol::endpoint(endpoint.data(), endpoint.size()), ec);
  check(ec, subject,
        ec == std::errc::address_in_use ? "End what listens there, or choose another general.api.port."
                                        : std::string());
  acceptor.listen(ApiAcceptor::max_listen_connections, ec);
  check(ec, subject);
  Address bound{};
  socklen_t size = sizeof bound;
  check_call(::getsockname(acceptor.native_handle(), &bound.any, &size), subject);
  port = ntohs(bound.any.sa_family == AF_INET6 ? bound.v6.sin6_port : bound.v4.sin_port);
}

void ApiListener::listen_vsock(const ApiConfig& config) {
  const std::string subject = fmt::format("VSOCK, port {}", config.port);
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_cid = VMADDR_CID_ANY;
  address.svm_port = static_cast<unsigned>(config.port);
  std::error_code ec;
  acceptor.open(stream_protocol(AF_VSOCK, 0), ec);
  check(ec, subject, "Load the kernel module vhost_vsock, or take \"vsock\" out of general.api.transports.");
  acceptor.bind(stream_protocol::endpoint(&address, sizeof address), ec);
  check(ec, subject,
        ec == std::errc::address_in_use ? "End what listens there, or choose another general.api.port."
                                        : std::string());
  acceptor.listen(ApiAcceptor::max_listen_connections, ec);
  check(ec, subject);
  port = config.port;
}

Peer peer_of(int socket, const std::string& transport) {
  Peer peer;
  peer.transport = transport;
  Address address{};
  socklen_t size = sizeof address;
  ::getpeername(socket, &address.any, &size);
  if (address.any.sa_family == AF_VSOCK) {
    peer.cid = address.vm.svm_cid;
  } else if (transport == "unix") {
    ucred credentials{};
    size = sizeof credentials;
    if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0) {
      peer.uid = credentials.uid;
      peer.pid = credentials.pid;
      peer.gids = groups_of(socket, credentials.gid);
    }
  } else {
    std::array<char, INET6_ADDRSTRLEN> text{};
    const bool v6 = address.any.sa_family == AF_INET6;
    const void* bytes = v6 ? static_cast<const void*>(&address.v6.sin6_addr) : &address.v4.sin_addr;
    if (::inet_ntop(address.any.sa_family, bytes, text.data(), text.size())) peer.address = text.data();
  }
  return peer;
}

} // namespace hotplug::detail
