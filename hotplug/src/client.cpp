// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "bounded_queue.hpp"
#include "client_socket.hpp"
#include "line_buffer.hpp"
#include "tasks.hpp"

#include <hotplug/client.hpp>
#include <qemuctl/error.hpp>

#include <asio/buffer.hpp>
#include <asio/redirect_error.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <deque>
#include <exception>
#include <utility>

namespace hotplug {

using qemuctl::errc;
using qemuctl::Json;
using std::chrono::steady_clock;

namespace {

[[noreturn]] void fail(errc code, const ApiAddress& address, std::string action, std::string detail,
                       std::string server_text = {}) {
  qemuctl::Diagnostics diagnostics;
  diagnostics.operation = action.empty() ? "use the device API" : "carry out " + action;
  diagnostics.subject = to_string(address);
  diagnostics.detail = std::move(detail);
  diagnostics.server_text = std::move(server_text);
  throw qemuctl::Error(code, std::move(diagnostics));
}

std::string text_of(const Json& message, std::string_view key) {
  const Json* value = message.find(key);
  return value && value->is_string() ? value->as_string() : std::string();
}

} // namespace

struct ApiClient::Impl : std::enable_shared_from_this<ApiClient::Impl> {
  Impl(detail::ClientSocket connected, ApiAddress to, ApiClientOptions chosen)
      : address(std::move(to)), options(std::move(chosen)), socket(std::move(connected)),
        lines(options.max_message_bytes), changed(socket.get_executor()),
        events(std::make_shared<qemuctl::detail::BoundedQueue<ApiEvent>>(socket.get_executor(), options.max_events,
                                                                         "an event", to_string(address))),
        tasks(socket.get_executor(), {}) {}

  struct Call {
    Json answer;
    bool answered = false;
  };

  ApiAddress address;
  ApiClientOptions options;
  detail::ClientSocket socket;
  detail::LineBuffer lines;
  std::deque<std::shared_ptr<Call>> calls; ///< in the order of their answers, given up or not
  std::string outgoing;
  bool writing = false;
  std::string ended; ///< why; empty: it has not
  qemuctl::detail::Wakeup changed;
  std::shared_ptr<qemuctl::detail::BoundedQueue<ApiEvent>> events;
  detail::Tasks tasks;

  void end(std::string why) {
    if (!ended.empty()) return;
    ended = std::move(why);
    std::error_code ignored;
    socket.shutdown(detail::ClientSocket::shutdown_both, ignored);
    tasks.cancel();
    events->close();
    changed.notify();
  }

  asio::awaitable<void> read() {
    const auto self = shared_from_this();
    while (ended.empty()) {
      std::error_code ec;
      co_await socket.async_wait(detail::ClientSocket::wait_read, asio::redirect_error(asio::use_awaitable, ec));
      if (!ec) receive();
      if (ec) end(ec.message());
    }
  }

  void receive() {
    std::array<char, 64 << 10> bytes;
    const ssize_t size = ::recv(socket.native_handle(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (size <= 0) return end(size == 0 ? "the service has closed the connection" : "the connection broke");
    lines.append(std::string_view(bytes.data(), static_cast<std::size_t>(size)));
    while (const auto line = lines.next()) {
      if (line->too_long) return end("a message of the service is too long");
      try {
        take(qemuctl::parse_json(line->text));
      } catch (const qemuctl::Error& error) {
        return end(error.what());
      }
    }
  }

  void take(Json message) {
    if (message.contains("event")) {
      ApiEvent event;
      event.message = std::move(message);
      events->push(std::move(event));
      return;
    }
    if (calls.empty()) { // it says why it closes
      const std::string error = text_of(message, "error");
      return end(error.empty() ? "the service has answered what nobody asked" : error);
    }
    calls.front()->answer = std::move(message);
    calls.front()->answered = true;
    calls.pop_front();
    changed.notify();
  }

  void send(std::string_view line) {
    outgoing += line;
    if (!std::exchange(writing, true)) tasks.start(write());
  }

  asio::awaitable<void> write() {
    const auto self = shared_from_this();
    while (!outgoing.empty() && ended.empty()) {
      const std::string chunk = std::exchange(outgoing, {});
      std::error_code ec;
      co_await asio::async_write(socket, asio::buffer(chunk), asio::redirect_error(asio::use_awaitable, ec));
      if (ec) co_return; // what the service has said before it closed is still to be read; then it ends
    }
    writing = false;
  }

  asio::awaitable<Json> request(Json message, std::chrono::milliseconds timeout) {
    const auto self = shared_from_this();
    const std::string action = text_of(message, "action");
    if (!ended.empty()) fail(errc::disconnected, address, action, ended);
    const auto call = std::make_shared<Call>();
    calls.push_back(call);
    std::string line = message.dump();
    line += '\n';
    send(line);
    const auto deadline = qemuctl::detail::deadline_in(timeout);
    while (!call->answered) {
      if (!ended.empty()) fail(errc::interrupted, address, action, ended);
      if (steady_clock::now() >= deadline) fail(errc::interrupted, address, action, "no answer came in time");
      co_await changed.wait_until(deadline);
    }
    if (text_of(call->answer, "result") != "ok")
      fail(errc::command_failed, address, action, "the service refused", text_of(call->answer, "error"));
    co_return std::move(call->answer);
  }
};

ApiClient::ApiClient(std::shared_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
ApiClient::ApiClient(ApiClient&&) noexcept = default;
ApiClient& ApiClient::operator=(ApiClient&& other) noexcept {
  std::swap(impl_, other.impl_);
  return *this;
}
ApiClient::~ApiClient() {
  if (impl_) impl_->end("it was closed");
}

asio::awaitable<ApiClient> ApiClient::connect(ApiAddress address, ApiClientOptions options) {
  detail::ClientSocket socket = co_await detail::connect_api(address, options.connect_timeout);
  const std::string token = options.token;
  ApiClient client(std::make_shared<Impl>(std::move(socket), std::move(address), std::move(options)));
  client.impl_->tasks.start(client.impl_->read());
  if (!token.empty()) {
    Json message;
    message.set("action", "auth");
    message.set("token", token);
    co_await client.impl_->request(std::move(message), client.impl_->options.request_timeout);
  }
  co_return client;
}

asio::awaitable<ApiClient> ApiClient::connect_any(std::vector<ApiAddress> addresses, ApiClientOptions options) {
  std::string failures;
  for (ApiAddress& address : addresses) {
    const std::string name = to_string(address);
    try {
      ApiClient client = co_await connect(std::move(address), options);
      co_return client;
    } catch (const qemuctl::Error& error) {
      if (error.code() == errc::command_failed) throw; // it answered
      failures += (failures.empty() ? "" : "; ") + name + ": " + error.diagnostics().detail;
    }
  }
  qemuctl::Diagnostics diagnostics;
  diagnostics.operation = "connect to a device API";
  diagnostics.detail = std::move(failures);
  diagnostics.advice = "Is qemuctl-hotplugd running, with general.api.enable in its configuration?";
  throw qemuctl::Error(errc::connect_failed, std::move(diagnostics));
}

const ApiAddress& ApiClient::address() const noexcept {
  return impl_->address;
}

asio::awaitable<Json> ApiClient::request(Json message, std::optional<std::chrono::milliseconds> timeout) {
  return impl_->request(std::move(message), timeout.value_or(impl_->options.request_timeout));
}

asio::awaitable<std::optional<ApiEvent>> ApiClient::next_event(std::optional<std::chrono::milliseconds> timeout) {
  return qemuctl::detail::next_item(impl_->events, timeout);
}

} // namespace hotplug
