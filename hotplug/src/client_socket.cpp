// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "client_socket.hpp"

#include "unix_socket.hpp"

#include <qemuctl/error.hpp>
#include <qemuctl/file_descriptor.hpp>

#include <asio/ip/tcp.hpp>
#include <asio/this_coro.hpp>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/vm_sockets.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <charconv>
#include <memory>
#include <system_error>
#include <utility>

namespace hotplug {

using asio::generic::stream_protocol;
using qemuctl::errc;

namespace {

[[noreturn]] void fail(errc code, const std::string& address, std::string detail, std::string advice = {}) {
  qemuctl::Diagnostics diagnostics;
  diagnostics.operation = "connect to the device API";
  diagnostics.subject = address;
  diagnostics.detail = std::move(detail);
  diagnostics.advice = std::move(advice);
  throw qemuctl::Error(code, std::move(diagnostics));
}

template<class Number>
bool read_number(std::string_view digits, Number& number) {
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return error == std::errc() && end == digits.data() + digits.size();
}

/// What an operation of Asio's has come to, for one who may have given up before.
struct Attempt {
  explicit Attempt(const asio::any_io_executor& executor) : socket(executor), resolver(executor), changed(executor) {}

  asio::generic::stream_protocol::socket socket;
  asio::ip::tcp::resolver resolver;
  qemuctl::detail::Wakeup changed;
  bool done = false;
  std::error_code result;
  asio::ip::tcp::resolver::results_type found;

  void finish(std::error_code code) {
    done = true;
    // Asio's own category does not compare with std::errc.
    result = code.category() == asio::system_category() ? std::error_code(code.value(), std::generic_category()) : code;
    changed.notify();
  }
};

using AttemptPtr = std::shared_ptr<Attempt>;

/// Ends what is under way when nobody waits for it any more.
struct Abandon {
  explicit Abandon(AttemptPtr of) : attempt(std::move(of)) {}
  ~Abandon() {
    std::error_code ignored;
    attempt->socket.close(ignored); // if it was not taken
    attempt->resolver.cancel();
  }
  Abandon(const Abandon&) = delete;
  Abandon& operator=(const Abandon&) = delete;
  AttemptPtr attempt;
};

/// False: the deadline came first.
asio::awaitable<bool> wait(AttemptPtr attempt, qemuctl::detail::Wakeup::time_point deadline) {
  while (!attempt->done && std::chrono::steady_clock::now() < deadline) co_await attempt->changed.wait_until(deadline);
  co_return attempt->done;
}

asio::awaitable<std::vector<stream_protocol::endpoint>> resolve(ApiTcpAddress to, std::string address,
                                                                qemuctl::detail::Wakeup::time_point deadline) {
  std::vector<stream_protocol::endpoint> endpoints;
  std::error_code ec;
  if (const auto numeric = asio::ip::make_address(to.host, ec); !ec) {
    endpoints.emplace_back(asio::ip::tcp::endpoint(numeric, to.port));
    co_return endpoints;
  }
  const auto attempt = std::make_shared<Attempt>(co_await asio::this_coro::executor);
  const Abandon at_the_end(attempt);
  attempt->resolver.async_resolve(to.host, std::to_string(to.port),
                                  [attempt](std::error_code code, asio::ip::tcp::resolver::results_type found) {
                                    attempt->found = std::move(found);
                                    attempt->finish(code);
                                  });
  const bool done = co_await wait(attempt, deadline);
  if (!done) fail(errc::timed_out, address, "its name was not resolved in time");
  if (attempt->result || attempt->found.empty())
    fail(errc::connect_failed, address, "there is no such host: " + attempt->result.message());
  for (const auto& each : attempt->found) endpoints.emplace_back(each.endpoint());
  co_return endpoints;
}

/// Connects at once or not at all.
stream_protocol::endpoint unix_endpoint(const ApiUnixAddress& to, const std::string& address) {
  const sockaddr_un name = qemuctl::detail::unix_address_of(to.path);
  if (to.path.size() >= sizeof name.sun_path) fail(errc::connect_failed, address, "the path is too long for a socket");
  return {&name, sizeof name};
}

stream_protocol::endpoint vsock_endpoint(const ApiVsockAddress& to) {
  sockaddr_vm name{};
  name.svm_family = AF_VSOCK;
  name.svm_cid = to.cid;
  name.svm_port = to.port;
  return {&name, sizeof name};
}

std::string words_for(const std::error_code& code) {
  if (code == std::errc::no_such_file_or_directory) return "there is no such socket";
  if (code == std::errc::connection_refused) return "nobody listens there";
  if (code == std::errc::permission_denied) return "this user may not connect to it";
  if (code == std::errc::resource_unavailable_try_again) return "too many clients wait already";
  // Of VSOCK outside of a guest.
  if (code == std::errc::no_such_device || code == std::errc::address_family_not_supported)
    return "this machine has no VSOCK to a host";
  return code.message();
}

/// Whether this machine is a VM with VSOCK. On others CID 2 may be a process of this machine.
bool is_guest() {
  const qemuctl::FileDescriptor device(::open("/dev/vsock", O_RDONLY | O_CLOEXEC));
  unsigned int cid = VMADDR_CID_ANY;
  if (!device && errno == EACCES) return true; // it may be
  return device && ::ioctl(device.get(), IOCTL_VM_SOCKETS_GET_LOCAL_CID, &cid) == 0 && cid > VMADDR_CID_HOST &&
         cid != VMADDR_CID_ANY;
}

} // namespace

std::string to_string(const ApiAddress& address) {
  if (const auto* unix_socket = std::get_if<ApiUnixAddress>(&address)) return unix_socket->path;
  if (const auto* tcp = std::get_if<ApiTcpAddress>(&address)) {
    const bool v6 = tcp->host.find(':') != std::string::npos;
    return fmt::format("{}{}{}:{}", v6 ? "[" : "", tcp->host, v6 ? "]" : "", tcp->port);
  }
  const auto& vsock = std::get<ApiVsockAddress>(address);
  return fmt::format("CID {}, port {}", vsock.cid, vsock.port);
}

std::vector<ApiAddress> default_api_addresses() {
  std::vector<ApiAddress> addresses;
  addresses.emplace_back(ApiUnixAddress());
  if (is_guest()) addresses.emplace_back(ApiVsockAddress());
  return addresses;
}

ApiTcpAddress parse_api_tcp(std::string_view text) {
  ApiTcpAddress address;
  std::string_view host = text, port;
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == text.npos) fail(errc::invalid_argument, std::string(text), "a ] is missing");
    host = text.substr(1, end - 1);
    port = text.substr(end + 1);
    if (!port.empty() && !port.starts_with(':'))
      fail(errc::invalid_argument, std::string(text), "after ] comes :PORT or nothing");
  } else if (const std::size_t colon = text.find(':'); colon == text.rfind(':') && colon != text.npos) {
    host = text.substr(0, colon);
    port = text.substr(colon);
  }
  address.host = host;
  if (host.empty() || (!port.empty() && (!read_number(port.substr(1), address.port) || address.port == 0)))
    fail(errc::invalid_argument, std::string(text), "this is not of the form HOST:PORT");
  return address;
}

ApiVsockAddress parse_api_vsock(std::string_view text) {
  ApiVsockAddress address;
  const std::size_t colon = text.find(':');
  const bool good = read_number(text.substr(0, colon), address.cid) &&
                    (colon == text.npos || read_number(text.substr(colon + 1), address.port));
  if (!good) fail(errc::invalid_argument, std::string(text), "this is not of the form CID:PORT");
  return address;
}

namespace detail {

asio::awaitable<ClientSocket> connect_first(std::vector<stream_protocol::endpoint> endpoints, std::string address,
                                            qemuctl::detail::Wakeup::time_point deadline) {
  std::error_code ec;
  for (std::size_t i = 0; i < endpoints.size(); ++i) {
    const auto attempt = std::make_shared<Attempt>(co_await asio::this_coro::executor);
    const Abandon at_the_end(attempt);
    attempt->socket.open(endpoints[i].protocol(), ec);
    if (!ec && endpoints[i].protocol().family() == AF_UNIX) {
      // By hand, because asio::async_connect takes EAGAIN for "under way", but here it means that the queue is full.
      attempt->socket.native_non_blocking(true, ec);
      if (::connect(attempt->socket.native_handle(), endpoints[i].data(),
                    static_cast<socklen_t>(endpoints[i].size())) != 0)
        ec.assign(errno, std::generic_category());
    } else if (!ec) {
      attempt->socket.async_connect(endpoints[i], [attempt](std::error_code code) { attempt->finish(code); });
      // An address that does not answer leaves time for the next ones.
      const auto now = std::chrono::steady_clock::now();
      const auto share = now + (deadline - now) / static_cast<int>(endpoints.size() - i);
      const bool done = co_await wait(attempt, share);
      ec = done ? attempt->result : std::make_error_code(std::errc::timed_out);
    }
    if (!ec) co_return std::move(attempt->socket);
  }
  if (ec == std::errc::timed_out) fail(errc::timed_out, address, "it did not answer in time");
  fail(errc::connect_failed, address, words_for(ec));
}

asio::awaitable<ClientSocket> connect_api(ApiAddress address, std::chrono::milliseconds timeout) {
  std::string name = to_string(address);
  const auto deadline = qemuctl::detail::deadline_in(timeout);
  std::vector<stream_protocol::endpoint> endpoints;
  if (const auto* unix_socket = std::get_if<ApiUnixAddress>(&address))
    endpoints.push_back(unix_endpoint(*unix_socket, name));
  else if (const auto* vsock = std::get_if<ApiVsockAddress>(&address))
    endpoints.push_back(vsock_endpoint(*vsock));
  else
    endpoints = co_await resolve(std::get<ApiTcpAddress>(address), name, deadline);
  ClientSocket socket = co_await connect_first(std::move(endpoints), std::move(name), deadline);
  co_return std::move(socket);
}

} // namespace detail
} // namespace hotplug
