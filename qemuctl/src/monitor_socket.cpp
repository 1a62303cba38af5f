// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "monitor_socket.hpp"

#include "duration_text.hpp"
#include "monitor_silence.hpp"

#include <qemuctl/error.hpp>

#include <asio/ip/tcp.hpp>
#include <asio/use_awaitable.hpp>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

namespace qemuctl::detail {

namespace {

using asio::ip::tcp;

Error connect_error(std::error_code code, const ConnectAttempt& attempt, std::string detail, std::string advice = {}) {
  Diagnostics diagnostics;
  diagnostics.operation = "connect to the monitor";
  diagnostics.subject = attempt.subject;
  diagnostics.detail = std::move(detail);
  diagnostics.advice = std::move(advice);
  return {code, std::move(diagnostics)};
}

Error connect_error(const ConnectAttempt& attempt, const std::error_code& cause) {
  if (cause == std::errc::no_such_file_or_directory)
    return connect_error(errc::connect_failed, attempt, "there is no such socket", "Is the VM running?");
  if (cause == std::errc::connection_refused)
    return connect_error(errc::connect_failed, attempt, "nobody listens there",
                         "The VM has ended, or its monitor is somewhere else.");
  if (cause == std::errc::permission_denied || cause == std::errc::operation_not_permitted)
    return connect_error(errc::connect_failed, attempt, "this user may not connect to it",
                         "Run as the user that started QEMU, or give this user write access to the socket.");
  if (cause == std::errc::wrong_protocol_type)
    return connect_error(errc::connect_failed, attempt, "it is no stream socket");
  // A TCP peer that took the connection may end it before this side gets to see that it was there.
  if (cause == std::errc::connection_reset)
    return connect_error(errc::disconnected, attempt,
                         fmt::format("the connection ended before it was ready: {}", cause.message()));
  return connect_error(errc::connect_failed, attempt, cause.message());
}

Error system_error(const ConnectAttempt& attempt, const char* call) {
  const std::error_code code(errno, std::generic_category());
  return connect_error(code, attempt, fmt::format("{}: {}", call, code.message()));
}

struct UnixAddress {
  sockaddr_un address{};
  socklen_t length = 0;
  FileDescriptor file; ///< what a path below /proc/self/fd leads to
};

UnixAddress unix_address(const ConnectAttempt& attempt, const UnixPath& target) {
  const std::string& path = target.path;
  if (path.empty() || path.find('\0') != std::string::npos)
    throw connect_error(errc::invalid_argument, attempt, "the path of a socket cannot be empty or hold a NUL");
  UnixAddress result;
  result.address.sun_family = AF_UNIX;
  std::string reachable = path;
  if (path.size() >= sizeof result.address.sun_path) {
    // The kernel follows the link in /proc to the socket itself, however long its path is.
    result.file.reset(::open(path.c_str(), O_PATH | O_CLOEXEC));
    if (!result.file) throw connect_error(attempt, {errno, std::generic_category()});
    reachable = fmt::format("/proc/self/fd/{}", result.file.get());
  }
  std::memcpy(result.address.sun_path, reachable.c_str(), reachable.size() + 1);
  result.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + reachable.size() + 1);
  return result;
}

UnixAddress unix_address(const ConnectAttempt& attempt, const UnixAbstract& target) {
  UnixAddress result;
  if (target.name.empty() || target.name.size() >= sizeof result.address.sun_path)
    throw connect_error(errc::invalid_argument, attempt, "an abstract socket name has 1 to 107 bytes");
  result.address.sun_family = AF_UNIX;
  std::memcpy(result.address.sun_path + 1, target.name.data(), target.name.size());
  result.length = target.tight ? static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + target.name.size())
                               : static_cast<socklen_t>(sizeof result.address);
  return result;
}

StreamSocket connect_unix(const ConnectAttempt& attempt, const UnixAddress& target, const MonitorAddress& named) {
  const auto start = std::chrono::steady_clock::now();
  FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) throw system_error(attempt, "socket");
  // By hand, because asio::async_connect takes EAGAIN for "in progress", but here it means that the server's backlog is
  // full.
  const auto* address = reinterpret_cast<const sockaddr*>(&target.address);
  if (::connect(socket.get(), address, target.length) != 0) {
    if (errno != EAGAIN) throw connect_error(attempt, {errno, std::generic_category()});
    SilentMonitor monitor;
    monitor.subject = attempt.subject;
    monitor.address = named;
    monitor.queue_full = true;
    monitor.since = start;
    throw explain_silence(monitor);
  }
  StreamSocket result(attempt.executor);
  result.assign(asio::generic::stream_protocol(AF_UNIX, 0), socket.get());
  static_cast<void>(socket.release());
  return result;
}

/// Waits until `done` is true; false when the deadline has passed first.
asio::awaitable<bool> wait_for(std::shared_ptr<ConnectAttempt> attempt, std::shared_ptr<const bool> done,
                               Wakeup::time_point deadline) {
  while (!*done) {
    if (attempt->abandoned) throw connect_error(errc::disconnected, *attempt, "it was closed meanwhile");
    if (std::chrono::steady_clock::now() >= deadline) co_return false;
    co_await attempt->changed.wait_until(deadline);
  }
  co_return true;
}

asio::awaitable<std::vector<tcp::endpoint>> resolve(std::shared_ptr<ConnectAttempt> attempt, TcpAddress address,
                                                    Wakeup::time_point deadline) {
  std::vector<tcp::endpoint> endpoints;
  std::error_code ec;
  // A numeric address needs no resolver, which in Asio is a thread.
  if (const auto numeric = asio::ip::make_address(address.host, ec); !ec) {
    endpoints.emplace_back(numeric, address.port);
    co_return endpoints;
  }
  // getaddrinfo cannot be cancelled: a lookup that takes too long is left to itself.
  struct Lookup {
    explicit Lookup(const asio::any_io_executor& executor) : resolver(executor) {}
    tcp::resolver resolver;
    std::error_code error;
    tcp::resolver::results_type results;
    bool done = false;
  };
  const auto lookup = std::make_shared<Lookup>(attempt->executor);
  lookup->resolver.async_resolve(address.host, std::to_string(address.port), tcp::resolver::numeric_service,
                                 [attempt, lookup](std::error_code error, tcp::resolver::results_type results) {
                                   lookup->error = error;
                                   lookup->results = std::move(results);
                                   lookup->done = true;
                                   attempt->changed.notify();
                                 });
  const std::shared_ptr<const bool> done(lookup, &lookup->done);
  if (!co_await wait_for(attempt, done, deadline))
    throw connect_error(
        errc::timed_out, *attempt,
        fmt::format("the address of {} was not found out within {}", address.host, duration_text(attempt->timeout)));
  if (lookup->error)
    throw connect_error(errc::connect_failed, *attempt,
                        fmt::format("the address of {} is not known: {}", address.host, lookup->error.message()));
  for (const auto& entry : lookup->results) endpoints.push_back(entry.endpoint());
  co_return endpoints;
}

/// A peer whose machine has gone says nothing: without these the kernel would wait for hours.
void notice_lost_peer(int socket) {
  const auto set = [socket](int level, int option, int value) {
    ::setsockopt(socket, level, option, &value, sizeof value); // refused only by a kernel that does not know it
  };
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 20);         // s without traffic, then a probe every ...
  set(IPPROTO_TCP, TCP_KEEPINTVL, 10);        // s, and after so many without an answer ...
  set(IPPROTO_TCP, TCP_KEEPCNT, 4);           // the connection is over
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, 60'000); // ms that something sent may stay unacknowledged
}

asio::awaitable<StreamSocket> connect_tcp(std::shared_ptr<ConnectAttempt> attempt, TcpAddress address,
                                          Wakeup::time_point deadline) {
  const auto start = std::chrono::steady_clock::now();
  const auto endpoints = co_await resolve(attempt, address, deadline);

  struct Connecting {
    explicit Connecting(const asio::any_io_executor& executor) : socket(executor) {}
    StreamSocket socket;
    std::error_code error;
    bool done = false;
  };
  std::error_code last_error = std::make_error_code(std::errc::host_unreachable);
  for (const tcp::endpoint& endpoint : endpoints) {
    const auto connecting = std::make_shared<Connecting>(attempt->executor);
    // Its end releases what the callback below still holds, however this coroutine ends.
    const std::shared_ptr<void> close_at_the_end(nullptr, [connecting](void*) {
      std::error_code ignored;
      connecting->socket.close(ignored);
    });
    connecting->socket.async_connect(endpoint, [attempt, connecting](std::error_code error) {
      connecting->error = error;
      connecting->done = true;
      attempt->changed.notify();
    });
    const std::shared_ptr<const bool> done(connecting, &connecting->done);
    if (!co_await wait_for(attempt, done, deadline)) {
      SilentMonitor monitor;
      monitor.subject = attempt->subject;
      monitor.address = TcpAddress{endpoint.address().to_string(), endpoint.port()};
      monitor.since = start;
      throw explain_silence(monitor);
    }
    if (!connecting->error) {
      std::error_code ignored; // only a matter of speed
      connecting->socket.set_option(tcp::no_delay(true), ignored);
      notice_lost_peer(connecting->socket.native_handle());
      co_return std::move(connecting->socket);
    }
    // Asio's own system category does not compare equal to std::errc.
    last_error.assign(connecting->error.value(), std::generic_category());
  }
  throw connect_error(*attempt, last_error);
}

} // namespace

asio::awaitable<StreamSocket> connect_to_monitor(std::shared_ptr<ConnectAttempt> attempt, MonitorAddress address) {
  if (attempt->timeout <= std::chrono::milliseconds::zero())
    throw connect_error(errc::timed_out, *attempt, "there was no time to connect");
  const auto deadline = deadline_in(attempt->timeout);
  if (const auto* path = std::get_if<UnixPath>(&address))
    co_return connect_unix(*attempt, unix_address(*attempt, *path), address);
  if (const auto* name = std::get_if<UnixAbstract>(&address))
    co_return connect_unix(*attempt, unix_address(*attempt, *name), address);
  co_return co_await connect_tcp(attempt, std::get<TcpAddress>(address), deadline);
}

StreamSocket adopt_socket(const ConnectAttempt& attempt, FileDescriptor socket) {
  int type = 0;
  int domain = 0;
  socklen_t length = sizeof type;
  sockaddr_storage peer{};
  socklen_t peer_length = sizeof peer;
  if (!socket || getsockopt(socket.get(), SOL_SOCKET, SO_TYPE, &type, &length) != 0 || type != SOCK_STREAM)
    throw connect_error(errc::invalid_argument, attempt, "the descriptor is no stream socket");
  length = sizeof domain;
  if (getsockopt(socket.get(), SOL_SOCKET, SO_DOMAIN, &domain, &length) != 0 ||
      getpeername(socket.get(), reinterpret_cast<sockaddr*>(&peer), &peer_length) != 0)
    throw connect_error(errc::invalid_argument, attempt, "the socket is not connected");
  StreamSocket result(attempt.executor);
  result.assign(asio::generic::stream_protocol(domain, 0), socket.get());
  static_cast<void>(socket.release());
  return result;
}

std::optional<MonitorAddress> remote_address(int socket) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  if (getpeername(socket, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return std::nullopt;
  if (storage.ss_family == AF_UNIX) {
    sockaddr_un address{};
    std::memcpy(&address, &storage, sizeof address);
    if (length <= offsetof(sockaddr_un, sun_path)) return std::nullopt;
    const std::size_t size = length - offsetof(sockaddr_un, sun_path);
    if (address.sun_path[0] == '\0') return UnixAbstract{std::string(address.sun_path + 1, size - 1)};
    return UnixPath{std::string(address.sun_path, strnlen(address.sun_path, size))};
  }
  if (storage.ss_family != AF_INET && storage.ss_family != AF_INET6) return std::nullopt;
  tcp::endpoint endpoint;
  endpoint.resize(length);
  std::memcpy(endpoint.data(), &storage, length);
  return TcpAddress{endpoint.address().to_string(), endpoint.port()};
}

bool is_unix_socket(int socket) {
  int domain = 0;
  socklen_t length = sizeof domain;
  return getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 && domain == AF_UNIX;
}

std::optional<int> read_peer_pid(int socket) {
  ucred peer{};
  socklen_t length = sizeof peer;
  if (!is_unix_socket(socket) || getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0 || peer.pid <= 0 ||
      peer.pid == getpid())
    return std::nullopt;
  return peer.pid;
}

} // namespace qemuctl::detail
