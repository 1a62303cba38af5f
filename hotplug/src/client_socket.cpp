// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "client_socket.hpp"

#include "unix_socket.hpp"
#include "wakeup.hpp"

#include <qemuctl/error.hpp>

#include <asio/ip/tcp.hpp>
#include <asio/this_coro.hpp>
#include <fmt/format.h>
#include <linux/vm_sockets.h>
#include <sys/socket.h>
#include <sys/un.h>

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
    result = code;
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

asio::awaitable<void> wait(AttemptPtr attempt, std::string address, qemuctl::detail::Wakeup::time_point deadline) {
  while (!attempt->done) {
    if (std::chrono::steady_clock::now() >= deadline) fail(errc::timed_out, address, "it did not answer in time");
    co_await attempt->changed.wait_until(deadline);
  }
  attempt->done = false;
}

asio::awaitable<stream_protocol::endpoint> resolve(AttemptPtr attempt, ApiTcpAddress to, std::string address,
                                                   qemuctl::detail::Wakeup::time_point deadline) {
  std::error_code ec;
  if (const auto numeric = asio::ip::make_address(to.host, ec); !ec)
    co_return stream_protocol::endpoint(asio::ip::tcp::endpoint(numeric, to.port));
  attempt->resolver.async_resolve(to.host, std::to_string(to.port),
                                  [attempt](std::error_code code, asio::ip::tcp::resolver::results_type found) {
                                    attempt->found = std::move(found);
                                    attempt->finish(code);
                                  });
  co_await wait(attempt, address, deadline);
  if (attempt->result || attempt->found.empty())
    fail(errc::connect_failed, address, "there is no such host: " + attempt->result.message());
  co_return stream_protocol::endpoint(attempt->found.begin()->endpoint());
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
  addresses.emplace_back(ApiVsockAddress());
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

asio::awaitable<ClientSocket> connect_api(ApiAddress address, std::chrono::milliseconds timeout) {
  const std::string name = to_string(address);
  const auto deadline = qemuctl::detail::deadline_in(timeout);
  const auto attempt = std::make_shared<Attempt>(co_await asio::this_coro::executor);
  const Abandon at_the_end(attempt);
  stream_protocol::endpoint endpoint;
  if (const auto* unix_socket = std::get_if<ApiUnixAddress>(&address))
    endpoint = unix_endpoint(*unix_socket, name);
  else if (const auto* vsock = std::get_if<ApiVsockAddress>(&address))
    endpoint = vsock_endpoint(*vsock);
  else
    endpoint = co_await resolve(attempt, std::get<ApiTcpAddress>(address), name, deadline);

  std::error_code ec;
  attempt->socket.open(endpoint.protocol(), ec);
  if (!ec && std::holds_alternative<ApiUnixAddress>(address)) {
    // By hand, because asio::async_connect takes EAGAIN for "under way", but here it means that the queue is full.
    attempt->socket.native_non_blocking(true, ec);
    if (::connect(attempt->socket.native_handle(), endpoint.data(), static_cast<socklen_t>(endpoint.size())) != 0)
      ec.assign(errno, std::generic_category());
  } else if (!ec) {
    attempt->socket.async_connect(endpoint, [attempt](std::error_code code) { attempt->finish(code); });
    co_await wait(attempt, name, deadline);
    ec = attempt->result;
  }
  if (ec) fail(errc::connect_failed, name, words_for(ec));
  co_return std::move(attempt->socket);
}

} // namespace detail
} // namespace hotplug
