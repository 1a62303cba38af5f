// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// The only file that includes RESTinio. RESTinio uses what Asio calls deprecated, which the rest of the project is
// built without; that adds functions to Asio's classes and changes none of their layouts.
#undef ASIO_NO_DEPRECATED

#include "http_server.hpp"

#include "wakeup.hpp"

#include <qemuctl/error.hpp>

#include <asio/associated_executor.hpp>
#include <asio/bind_executor.hpp>
#include <asio/execution_context.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <fmt/format.h>
#include <restinio/asio_timer_manager.hpp>
#include <restinio/http_server.hpp>
#include <restinio/message_builders.hpp>
#include <restinio/request_handler.hpp>
#include <restinio/settings.hpp>
#include <restinio/traits.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace hotplug::detail {

namespace {

using asio::ip::tcp;

// Larger than our own limits, so that a request that is somewhat too large gets an answer.
constexpr std::size_t max_target = 16 << 10, max_field_name = 256, max_field_value = 16 << 10, max_fields = 128;
/// RESTinio keeps 16 bytes for each chunk, which may have a single byte: this is 3 MiB of a connection.
constexpr std::size_t max_body = 192 << 10;
/// RESTinio gives up one of these for each time that the kernel has no descriptor for a client.
constexpr std::size_t concurrent_accepts = 16;
/// As long as the slowest request may take: a guest may be given 600 s to shut down.
constexpr std::chrono::seconds handling_timeout{700};

class Socket;
class Farewell;

/// What the sockets of an event loop have in common.
class OpenSockets : public asio::execution_context::service {
 public:
  using key_type = OpenSockets;
  static asio::execution_context::id id;

  explicit OpenSockets(asio::execution_context& context) : service(context) {}
  void shutdown() noexcept override {}

  std::set<Socket*> all; ///< because RESTinio cannot be asked to end its connections
  std::set<Farewell*> farewells;
  std::string error; ///< why RESTinio is about to close a connection; empty: for no error
};
asio::execution_context::id OpenSockets::id;

/// Takes down why RESTinio closes a connection, which it does just after saying so.
class Logger {
 public:
  explicit Logger(OpenSockets& sockets) : sockets_(sockets) {}
  template<typename Build>
  void trace(Build&&) const noexcept {}
  template<typename Build>
  void info(Build&&) const noexcept {}
  template<typename Build>
  void warn(Build&&) const noexcept {}
  template<typename Build>
  void error(Build&& build) const {
    sockets_.error = build();
  }

 private:
  OpenSockets& sockets_;
};

/// The answer to a request that RESTinio would just close the connection for; nullopt: nobody waits for one.
std::optional<HttpResponse> last_answer(std::string_view error) {
  const auto is = [&](std::string_view what) { return error.find(what) != error.npos; };
  if (error.empty()) return problem(408, "too-slow", "the request took too long to arrive");
  if (is("HPE_CB_url")) return problem(414, "target-too-long", "the target is too long");
  if (is("HPE_CB_header_field") || is("HPE_CB_header_value") || is("HPE_HEADER_OVERFLOW"))
    return problem(431, "head-too-large", "the header is too large");
  if (is("HPE_CB_body") || is("HPE_CB_headers_complete"))
    return problem(413, "body-too-large", "the request's body is too large");
  if (is("parser error")) return problem(400, "no-http", "this is not a valid HTTP/1.1 request");
  return std::nullopt;
}

/// Sends the last answer of a connection, and drops what the client still sends for a moment: closing a socket that has
/// not been read to its end would take the answer away from the client again.
class Farewell : public std::enable_shared_from_this<Farewell> {
 public:
  static constexpr std::size_t most_at_once = 64;

  explicit Farewell(tcp::socket socket, OpenSockets& sockets)
      : sockets_(sockets), socket_(std::move(socket)), end_(socket_.get_executor()) {
    sockets_.farewells.insert(this);
  }
  ~Farewell() { sockets_.farewells.erase(this); }
  Farewell(const Farewell&) = delete;
  Farewell& operator=(const Farewell&) = delete;

  void begin(const HttpResponse& response) {
    constexpr std::chrono::seconds enough{1};
    std::string text = fmt::format("HTTP/1.1 {} {}\r\nConnection: close\r\nContent-Length: {}\r\n", response.status,
                                   reason_phrase(response.status), response.body.size());
    for (const auto& [name, value] : response.headers) text += fmt::format("{}: {}\r\n", name, value);
    text += "\r\n" + response.body;
    std::error_code ec;
    socket_.non_blocking(true, ec);
    if (!ec) socket_.send(asio::buffer(text), 0, ec);
    if (!ec) socket_.shutdown(tcp::socket::shutdown_send, ec);
    if (ec) return;
    end_.expires_after(enough);
    end_.async_wait([self = shared_from_this()](std::error_code) { self->close(); });
    drop();
  }
  void close() noexcept {
    std::error_code ignored;
    socket_.close(ignored);
    end_.cancel();
  }
  int port() const noexcept {
    std::error_code ignored;
    return socket_.local_endpoint(ignored).port();
  }

 private:
  void drop() {
    constexpr std::size_t most = 2 << 20;
    socket_.async_read_some(asio::buffer(bytes_), [self = shared_from_this()](std::error_code ec, std::size_t size) {
      self->dropped_ += size;
      if (ec || self->dropped_ > most)
        self->close();
      else
        self->drop();
    });
  }

  OpenSockets& sockets_;
  tcp::socket socket_;
  asio::steady_timer end_;
  std::array<char, 16 << 10> bytes_{};
  std::size_t dropped_ = 0;
};

/// A socket that answers before RESTinio closes it, when a client has sent some of a request that was never answered.
class Socket : public tcp::socket {
 public:
  explicit Socket(asio::io_context& io) : tcp::socket(io), sockets_(asio::use_service<OpenSockets>(io)) {
    sockets_.all.insert(this);
  }
  Socket(Socket&& other) : tcp::socket(std::move(other)), sockets_(other.sockets_) { sockets_.all.insert(this); }
  Socket& operator=(Socket&&) = delete;
  ~Socket() { sockets_.all.erase(this); }

  // These stand in for Asio's, by the names that RESTinio knows.
  template<typename Buffers, typename Handler>
  void async_read_some(const Buffers& buffers, Handler&& handler) {
    const auto executor = asio::get_associated_executor(handler);
    // The handler keeps the connection, and so this socket.
    tcp::socket::async_read_some(
        buffers, asio::bind_executor(executor, [this, handler = std::forward<Handler>(handler)](
                                                   const asio::error_code& ec, std::size_t size) mutable {
          if (!ec) unanswered_ = true;
          if (ec && ec != asio::error::operation_aborted) left_ = true;
          handler(ec, size);
        }));
  }
  template<typename Buffers, typename Handler>
  auto async_write_some(const Buffers& buffers, Handler&& handler) {
    unanswered_ = false;
    return tcp::socket::async_write_some(buffers, std::forward<Handler>(handler));
  }
  void shutdown(shutdown_type, std::error_code&) {} // `close` comes next
  void close() {
    const std::string error = std::exchange(sockets_.error, {});
    std::optional<HttpResponse> response;
    if (unanswered_ && !left_ && sockets_.farewells.size() < Farewell::most_at_once) response = last_answer(error);
    unanswered_ = false;
    std::error_code ignored;
    if (response && is_open()) {
      cancel(ignored); // a read that RESTinio waits for
      std::make_shared<Farewell>(std::move(static_cast<tcp::socket&>(*this)), sockets_)->begin(*response);
      return;
    }
    tcp::socket::shutdown(shutdown_both, ignored);
    tcp::socket::close(ignored);
  }
  /// RESTinio sees that, and closes it.
  void hang_up() noexcept {
    std::error_code ignored;
    tcp::socket::shutdown(shutdown_both, ignored);
  }

 private:
  OpenSockets& sockets_;
  bool unanswered_ = false; ///< something of a request has come since the last answer
  bool left_ = false;       ///< the client has
};

/// Counts connections, and refuses those that are too many.
struct Connections {
  Connections(const asio::any_io_executor& executor, const HttpServerOptions& options)
      : max(options.max_connections), max_per_address(options.max_connections_per_address),
        on_refused(options.on_refused), ended(executor) {}

  // RESTinio's names
  restinio::ip_blocker::inspection_result_t inspect(const restinio::ip_blocker::incoming_info_t& client) noexcept {
    const asio::ip::address address = client.remote_endpoint().address();
    const auto known = of.find(address);
    const bool too_many =
        static_cast<int>(open.size()) >= max || (known != of.end() && known->second >= max_per_address);
    if (!too_many) return restinio::ip_blocker::allow();
    if (!std::exchange(warned, true) && on_refused)
      on_refused(fmt::format("{} or others have too many connections; this is said once", address.to_string()));
    return restinio::ip_blocker::deny();
  }
  void state_changed(const restinio::connection_state::notice_t& notice) {
    const asio::ip::address address = notice.remote_endpoint().address();
    if (restinio::holds_alternative<restinio::connection_state::accepted_t>(notice.cause())) {
      if (open.insert(notice.connection_id()).second) ++of[address];
    } else if (open.erase(notice.connection_id()) > 0) {
      if (--of[address] == 0) of.erase(address);
      ended.notify();
    }
  }

  int max, max_per_address;
  std::function<void(std::string_view)> on_refused;
  bool warned = false;
  std::set<restinio::connection_id_t> open;
  std::map<asio::ip::address, int> of;
  qemuctl::detail::Wakeup ended;
};

struct Traits : restinio::traits_t<restinio::asio_timer_manager_t, Logger, restinio::default_request_handler_t,
                                   restinio::noop_strand_t, Socket> {
  using ip_blocker_t = Connections;
  using connection_state_listener_t = Connections;
};

/// Others read such a name as none, or as another field's.
bool is_token(std::string_view name) {
  constexpr std::string_view others = "!#$%&'*+-.^_`|~0123456789";
  return !name.empty() &&
         std::ranges::all_of(name, [&](char c) { return (c >= 'a' && c <= 'z') || others.find(c) != others.npos; });
}

/// Of those there must be one at most: who reads the request otherwise could take it for another one.
bool must_be_single(std::string_view name) {
  for (const char* single : {"host", "content-length", "transfer-encoding", "authorization", "origin", "content-type"})
    if (name == single) return true;
  return false;
}

HttpRequest request_of(const restinio::request_t& from) {
  const restinio::http_request_header_t& header = from.header();
  HttpRequest request;
  request.method = header.method().c_str();
  request.target = header.request_target();
  request.body = from.body();
  request.address = from.remote_endpoint().address().to_string();
  request.upgrade = header.connection() == restinio::http_connection_header_t::upgrade;
  header.for_each_field([&](const auto& field) {
    std::string name = field.name();
    std::ranges::transform(name, name.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    request.ambiguous = request.ambiguous || !is_token(name);
    const auto [entry, inserted] = request.headers.emplace(std::move(name), field.value());
    if (inserted) return;
    entry->second += ", " + field.value();
    request.ambiguous = request.ambiguous || must_be_single(entry->first);
  });
  return request;
}

restinio::http_status_line_t status_line(int status) {
  return {restinio::http_status_code_t{static_cast<std::uint16_t>(status)}, std::string(reason_phrase(status))};
}

template<typename Builder>
void set_head(Builder& builder, HttpResponse& response) {
  builder.append_header_date_field();
  for (auto& [name, value] : response.headers) builder.append_header(std::move(name), std::move(value));
}

class Stream : public HttpStream {
 public:
  Stream(restinio::request_t& request, HttpResponse head)
      : builder_(request.create_response<restinio::chunked_output_t>(status_line(head.status))) {
    set_head(builder_, head);
    builder_.flush();
  }

  void write(std::string bytes, std::function<void(bool)> done) override {
    builder_.append_chunk(std::move(bytes));
    builder_.flush([done = std::move(done)](const asio::error_code& error) { done(!error); });
  }
  void end() override {
    if (!std::exchange(ended_, true)) builder_.done();
  }

 private:
  restinio::response_builder_t<restinio::chunked_output_t> builder_;
  bool ended_ = false;
};

class Exchange : public HttpExchange {
 public:
  explicit Exchange(restinio::request_handle_t request) : handle_(std::move(request)), request_(request_of(*handle_)) {}

  const HttpRequest& request() const noexcept override { return request_; }

  void respond(HttpResponse response) override {
    if (request_.method != "HEAD") {
      auto builder = handle_->create_response(status_line(response.status));
      set_head(builder, response);
      // If a proxy reads the request differently, what follows on this connection may be another client's.
      if (request_.upgrade || request_.ambiguous) builder.connection_close();
      builder.set_body(std::move(response.body));
      builder.done();
      return;
    }
    auto builder = handle_->create_response<restinio::user_controlled_output_t>(status_line(response.status));
    set_head(builder, response);
    builder.set_content_length(response.body.size());
    builder.done();
  }

  std::shared_ptr<HttpStream> begin(HttpResponse head) override {
    return std::make_shared<Stream>(*handle_, std::move(head));
  }

 private:
  restinio::request_handle_t handle_;
  HttpRequest request_;
};

[[noreturn]] void fail(std::error_code code, const HttpServerOptions& options, std::string detail) {
  qemuctl::Diagnostics diagnostics;
  diagnostics.operation = "listen for HTTP";
  diagnostics.subject = fmt::format("{}, port {}", options.host, options.port);
  diagnostics.detail = std::move(detail);
  throw qemuctl::Error(code, std::move(diagnostics));
}

} // namespace

struct HttpServer::Impl {
  Impl(const asio::any_io_executor& io, asio::io_context& context, const HttpServerOptions& options,
       const asio::ip::address& address)
      : sockets(asio::use_service<OpenSockets>(context)), connections(std::make_shared<Connections>(io, options)),
        server(restinio::external_io_context(context), [&](auto& settings) {
          settings.logger(sockets)
              .address(address)
              .protocol(address.is_v6() ? tcp::v6() : tcp::v4())
              .port(static_cast<std::uint16_t>(options.port))
              .concurrent_accepts_count(concurrent_accepts)
              .read_next_http_message_timelimit(options.read_timeout)
              .write_http_response_timelimit(options.write_timeout)
              .handle_request_timeout(handling_timeout)
              .incoming_http_msg_limits(restinio::incoming_http_msg_limits_t{}
                                            .max_url_size(max_target)
                                            .max_field_name_size(max_field_name)
                                            .max_field_value_size(max_field_value)
                                            .max_field_count(max_fields)
                                            .max_body_size(max_body))
              .ip_blocker(connections)
              .connection_state_listener(connections)
              .acceptor_post_bind_hook([this](tcp::acceptor& acceptor) { port = acceptor.local_endpoint().port(); })
              .request_handler([io, handler = options.handler](const restinio::request_handle_t& request) {
                // When it is answered before this returns, RESTinio forgets what it has read of the next request.
                asio::post(io, [handler, exchange = std::make_shared<Exchange>(request)] { handler(exchange); });
                return restinio::request_accepted();
              });
        }) {}

  OpenSockets& sockets;
  std::shared_ptr<Connections> connections;
  int port = 0;
  restinio::http_server_t<Traits> server;
};

HttpServer::HttpServer(asio::any_io_executor executor, HttpServerOptions options) {
  std::error_code ec;
  const asio::ip::address address =
      asio::ip::make_address(options.host == "localhost" ? "127.0.0.1" : options.host, ec);
  if (ec) fail(qemuctl::errc::invalid_argument, options, "the host is not an IP address");
  const auto* of_context = executor.target<asio::io_context::executor_type>();
  if (!of_context) fail(qemuctl::errc::invalid_argument, options, "the executor is not that of an asio::io_context");
  // Asio gives out the context as a base class only.
  auto& context = static_cast<asio::io_context&>(asio::query(*of_context, asio::execution::context));
  impl_ = std::make_shared<Impl>(executor, context, options, address);
  try {
    impl_->server.open_sync();
  } catch (const std::system_error& error) {
    fail(error.code(), options, {});
  }
}

HttpServer::~HttpServer() {
  stop();
}

int HttpServer::port() const noexcept {
  return impl_->port;
}

std::size_t HttpServer::connections() const noexcept {
  return impl_->connections->open.size();
}

void HttpServer::stop() noexcept {
  impl_->server.close_sync();
  const std::vector<Socket*> all(impl_->sockets.all.begin(), impl_->sockets.all.end());
  for (Socket* socket : all) {
    std::error_code ignored;
    if (!socket->is_open() || socket->local_endpoint(ignored).port() != impl_->port) continue;
    socket->hang_up();
  }
  const std::vector<Farewell*> last(impl_->sockets.farewells.begin(), impl_->sockets.farewells.end());
  for (Farewell* farewell : last)
    if (farewell->port() == impl_->port) farewell->close();
}

asio::awaitable<void> HttpServer::wait_until_ended() {
  const std::shared_ptr<Impl> impl = impl_;
  while (!impl->connections->open.empty()) co_await impl->connections->ended.wait_until();
}

} // namespace hotplug::detail
