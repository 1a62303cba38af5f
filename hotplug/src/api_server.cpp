// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "api_message.hpp"
#include "tasks.hpp"
#include "unix_socket.hpp"

#include <hotplug/api_server.hpp>
#include <qemuctl/error.hpp>

#include <asio/buffer.hpp>
#include <asio/local/stream_protocol.hpp>
#include <asio/read_until.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>
#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

namespace hotplug {

using asio::local::stream_protocol;
using detail::ApiRequest;
using qemuctl::Diagnostics;
using qemuctl::errc;
using qemuctl::Json;

namespace {

constexpr std::size_t max_line = 1 << 20;
constexpr std::size_t max_unread = 1 << 20;
constexpr std::size_t max_connections = 256;
constexpr std::chrono::seconds pause_after_failed_accept{1};

[[noreturn]] void fail(std::error_code code, const std::string& path, std::string detail, std::string advice = {}) {
  Diagnostics diagnostics;
  diagnostics.operation = "listen for the device API";
  diagnostics.subject = path;
  diagnostics.detail = std::move(detail);
  diagnostics.advice = std::move(advice);
  throw qemuctl::Error(code, std::move(diagnostics));
}

[[noreturn]] void fail(int error, const std::string& path) {
  const std::error_code code(error, std::generic_category());
  fail(code, path, code.message());
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
  if (::chown(path.c_str(), user, group) != 0) fail(errno, path);
  if (::chmod(path.c_str(), static_cast<mode_t>(config.unix_socket_mode)) != 0) fail(errno, path);
}

stream_protocol::acceptor listen(const asio::any_io_executor& executor, const ApiConfig& config) {
  const std::string& path = config.unix_socket;
  if (path.size() >= 108) fail(errc::invalid_argument, path, "the path of a socket has at most 107 bytes");
  const stream_protocol::endpoint endpoint(path);
  std::error_code ec;
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (!folder.empty()) std::filesystem::create_directories(folder, ec);
  if (std::filesystem::is_socket(path, ec)) {
    if (const int pid = qemuctl::detail::listener_of(path))
      fail(errc::already_running, path,
           pid > 0 ? fmt::format("process {} listens there", pid) : std::string("somebody listens there"),
           "End that program, or choose another general.api.unixSocket.");
    ::unlink(path.c_str());
  }
  stream_protocol::acceptor acceptor(executor);
  acceptor.open(endpoint.protocol());
  // Nobody gets in before the socket has its owner and mode.
  const mode_t before = ::umask(0177);
  acceptor.bind(endpoint, ec);
  ::umask(before);
  if (ec) fail(ec.value(), path);
  set_owner(path, config);
  acceptor.listen(stream_protocol::acceptor::max_listen_connections, ec);
  if (ec) fail(ec.value(), path);
  return acceptor;
}

/// A client.
struct Connection {
  explicit Connection(stream_protocol::socket connected)
      : socket(std::move(connected)), writable(socket.get_executor()), tasks(socket.get_executor(), {}) {}

  /// Queues a message; ends the connection when the client does not read.
  void send(const Json& message) {
    if (over) return;
    message.dump_to(outgoing);
    outgoing += '\n';
    if (outgoing.size() > max_unread) close();
    writable.notify();
  }

  void close() {
    over = true;
    std::error_code ignored;
    socket.close(ignored); // ends its reader, and that the rest
  }

  stream_protocol::socket socket;
  qemuctl::detail::Wakeup writable;
  std::string outgoing;
  bool over = false;
  detail::Tasks tasks; ///< that write to it
};
using ConnectionPtr = std::shared_ptr<Connection>;

} // namespace

struct ApiServer::Impl : std::enable_shared_from_this<ApiServer::Impl> {
  Impl(const asio::any_io_executor& executor, Engine& served, ApiConfig chosen, LogHandler log_handler)
      : engine(served), config(std::move(chosen)), log(std::move(log_handler)), acceptor(listen(executor, config)),
        tasks(executor, [this](std::exception_ptr error) { report(error); }) {}
  ~Impl() { ::unlink(config.unix_socket.c_str()); }

  Engine& engine;
  ApiConfig config;
  LogHandler log;
  stream_protocol::acceptor acceptor;
  detail::Tasks tasks;
  std::size_t connections = 0;

  void report(const std::exception_ptr& error) const {
    try {
      std::rethrow_exception(error);
    } catch (const std::system_error& what) {
      if (log && what.code() != asio::error::eof)
        log(LogLevel::debug, fmt::format("the device API's connection ended: {}", what.what()));
    } catch (const std::exception& what) {
      if (log) log(LogLevel::error, fmt::format("the device API's connection ended: {}", what.what()));
    }
  }

  asio::awaitable<void> run() {
    const auto self = shared_from_this();
    for (;;) {
      std::error_code ec;
      stream_protocol::socket socket = co_await acceptor.async_accept(asio::redirect_error(asio::use_awaitable, ec));
      if (ec == asio::error::operation_aborted) co_return;
      if (ec) { // too many open files, and the like: clients wait until it is better
        if (log) log(LogLevel::error, fmt::format("cannot take a client of the device API: {}", ec.message()));
        asio::steady_timer timer(acceptor.get_executor(), pause_after_failed_accept);
        co_await timer.async_wait(asio::use_awaitable);
        continue;
      }
      if (connections >= max_connections) continue; // closes it
      tasks.start(serve(std::make_shared<Connection>(std::move(socket))));
    }
  }

  asio::awaitable<void> serve(ConnectionPtr connection) {
    const auto self = shared_from_this();
    ++connections;
    connection->tasks.start(write(connection));
    std::exception_ptr end;
    try {
      co_await answer_requests(connection);
    } catch (...) {
      end = std::current_exception();
    }
    --connections;
    connection->tasks.cancel();
    connection->close();
    if (end) std::rethrow_exception(end);
  }

  asio::awaitable<void> answer_requests(ConnectionPtr connection) {
    std::string incoming;
    bool notifying = false;
    for (;;) {
      const std::size_t size = co_await asio::async_read_until(
          connection->socket, asio::dynamic_buffer(incoming, max_line), '\n', asio::use_awaitable);
      const std::string line = incoming.substr(0, size);
      incoming.erase(0, size);
      if (line.find_first_not_of(" \t\r\n") == std::string::npos) continue;
      Json answer;
      std::optional<Json> id;
      bool enable = false;
      try {
        const Json message = qemuctl::parse_json(line);
        id = detail::request_id(message);
        const ApiRequest request = detail::parse_request(message);
        enable = request.action == ApiRequest::Action::enable_notifications;
        answer = co_await carry_out(request);
      } catch (const qemuctl::Error& error) {
        answer = detail::failed_answer(error.what());
      }
      if (id) answer.set("id", *id);
      // From here on, so that nothing that comes after the answer is missing.
      if (enable && !std::exchange(notifying, true)) connection->tasks.start(notify(connection, engine.subscribe()));
      connection->send(answer);
    }
  }

  asio::awaitable<Json> carry_out(ApiRequest request) {
    using Action = ApiRequest::Action;
    Json answer = detail::ok_answer();
    const std::vector<UsbState> devices = engine.usb_devices();
    if (request.action == Action::usb_list) {
      Json list = Json::array();
      for (const UsbState& usb : devices)
        if (!request.disconnected || *request.disconnected == usb.detached) list.push_back(detail::to_json(usb));
      answer.set("usb_devices", std::move(list));
    } else if (request.action == Action::usb_attach) {
      co_await engine.attach_usb(detail::find_device(devices, request.device).device.sys_path, request.vm);
    } else if (request.action == Action::usb_detach) {
      co_await engine.detach_usb(detail::find_device(devices, request.device).device.sys_path);
    }
    co_return answer;
  }

  asio::awaitable<void> write(ConnectionPtr connection) {
    while (!connection->over) {
      if (connection->outgoing.empty()) {
        co_await connection->writable.wait_until();
        continue;
      }
      const std::string chunk = std::exchange(connection->outgoing, {});
      co_await asio::async_write(connection->socket, asio::buffer(chunk), asio::use_awaitable);
    }
  }

  asio::awaitable<void> notify(ConnectionPtr connection, NotificationSubscription notifications) {
    for (;;) {
      const std::optional<Notification> notification = co_await notifications.next();
      if (!notification) co_return;
      if (notification->lost > 0) { // it would have a wrong picture; the next connection begins with a right one
        connection->close();
        co_return;
      }
      const Json event = detail::to_json(*notification);
      if (!event.is_null()) connection->send(event);
    }
  }
};

ApiServer::ApiServer(asio::any_io_executor executor, Engine& engine, ApiConfig config, LogHandler log)
    : impl_(std::make_shared<Impl>(executor, engine, std::move(config), std::move(log))) {}
ApiServer::ApiServer(ApiServer&&) noexcept = default;
ApiServer& ApiServer::operator=(ApiServer&&) noexcept = default;
ApiServer::~ApiServer() = default;

asio::awaitable<void> ApiServer::run() {
  const std::shared_ptr<Impl> impl = impl_;
  std::exception_ptr end;
  try {
    co_await impl->run();
  } catch (...) {
    end = std::current_exception();
  }
  co_await asio::this_coro::reset_cancellation_state();
  impl->tasks.cancel();
  co_await impl->tasks.wait_until_empty();
  if (end) std::rethrow_exception(end);
}

} // namespace hotplug
