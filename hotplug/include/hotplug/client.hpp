// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/json.hpp>

#include <asio/awaitable.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace hotplug {

inline constexpr std::uint16_t default_api_port = 2000;

/// A Unix socket of the device API.
struct ApiUnixAddress {
  ApiUnixAddress(std::string socket_path = "/var/lib/vhotplug/vhotplug.sock") : path(std::move(socket_path)) {}
  std::string path;
  bool operator==(const ApiUnixAddress&) const = default;
};

/// `host` is a name or a numeric address, IPv6 without brackets.
struct ApiTcpAddress {
  ApiTcpAddress(std::string host_name = "127.0.0.1", std::uint16_t port_number = default_api_port)
      : host(std::move(host_name)), port(port_number) {}
  std::string host;
  std::uint16_t port;
  bool operator==(const ApiTcpAddress&) const = default;
};

/// CID 2 is the host, seen from a guest.
struct ApiVsockAddress {
  ApiVsockAddress(std::uint32_t context_id = 2, std::uint32_t port_number = default_api_port)
      : cid(context_id), port(port_number) {}
  std::uint32_t cid, port;
  bool operator==(const ApiVsockAddress&) const = default;
};

/// The address of a device API.
using ApiAddress = std::variant<ApiUnixAddress, ApiTcpAddress, ApiVsockAddress>;

/// "/run/a.sock", "127.0.0.1:2000", "CID 2, port 2000".
std::string to_string(const ApiAddress& address);

/// Where to look for a service, in this order: the Unix socket, then, in a VM with VSOCK, its host.
std::vector<ApiAddress> default_api_addresses();

/// "HOST:PORT", "[::1]:PORT", "HOST". Throws `qemuctl::Error` (`errc::invalid_argument`).
ApiTcpAddress parse_api_tcp(std::string_view text);
/// "CID:PORT", "CID". Throws `qemuctl::Error` (`errc::invalid_argument`).
ApiVsockAddress parse_api_vsock(std::string_view text);

struct ApiClientOptions {
  ApiClientOptions() = default; // no aggregate: see `qemuctl::QmpClientOptions`

  std::chrono::milliseconds connect_timeout{5'000};
  /// From request to response. Attaching waits for QEMU, so this exceeds the service's own limit of 30 s.
  std::chrono::milliseconds request_timeout{60'000};
  std::string token;                                     ///< presented first; empty: none
  std::size_t max_message_bytes = std::size_t{64} << 20; ///< a longer one ends the connection
  std::size_t max_events = 1'024;                        ///< queued for `next_event`, at least 1
};

/// An event of the device API.
struct ApiEvent {
  qemuctl::Json message;  ///< `{"event": "usb_attached", ...}`
  std::uint64_t lost = 0; ///< events dropped just before this one because the queue was full
};

/// A connection to a device API, vhotplug's or `ApiServer`'s.
///
///     ApiClient client = co_await ApiClient::connect(ApiUnixAddress());
///     Json list = co_await client.request(Json::object({{"action", "usb_list"}}));
///
/// Threading: bound to the executor of the coroutine that made it, which must not run two handlers at once. Any number
/// of requests may be in flight. Lifetime: destruction closes the connection without blocking and fails the requests in
/// flight.
class ApiClient {
 public:
  /// Throws `qemuctl::Error`: `connect_failed`, `timed_out`, and as `request` does when the token is rejected.
  static asio::awaitable<ApiClient> connect(ApiAddress address, ApiClientOptions options = {});
  /// Connects to the first of these that answers. If none does, throws the first one's error, which mentions the
  /// others.
  static asio::awaitable<ApiClient> connect_any(std::vector<ApiAddress> addresses, ApiClientOptions options = {});

  ApiClient(ApiClient&&) noexcept;
  ApiClient& operator=(ApiClient&&) noexcept;
  ~ApiClient();

  const ApiAddress& address() const noexcept;

  /// Sends a request and returns the response, whose result is "ok". Throws `qemuctl::Error`: `command_failed` with the
  /// service's message in `server_text`; `interrupted` when the connection ended or the deadline passed without a
  /// response, so whether it was carried out is unknown; `disconnected` when it was not sent. On cancellation the
  /// service may still carry it out; its response is discarded and the connection remains usable.
  asio::awaitable<qemuctl::Json> request(qemuctl::Json message,
                                         std::optional<std::chrono::milliseconds> timeout = std::nullopt);

  /// The next event, after the request `enable_notifications`; nullopt once the connection has ended and all events
  /// have been read. Throws `qemuctl::Error` (`errc::timed_out`).
  asio::awaitable<std::optional<ApiEvent>> next_event(std::optional<std::chrono::milliseconds> timeout = std::nullopt);

  struct Impl; ///< private

 private:
  explicit ApiClient(std::shared_ptr<Impl> impl) noexcept;
  std::shared_ptr<Impl> impl_;
};

} // namespace hotplug
