// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "api_host.hpp"

#include <asio/ip/tcp.hpp>
#include <asio/local/stream_protocol.hpp>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <system_error>

namespace test {

using qemuctl::Json;

ApiHost::ApiHost() {
  api.enable = true;
  api.transports.push_back("unix");
  api.unix_socket = api_path().string();
  api.port = 0;
  api_options.version = "1.2.3";
  api_options.log = log_handler();
}

void ApiHost::start_api() {
  start_engine();
  server.emplace(io.get_executor(), *engine, api, api_options);
  serve(server->run());
}

struct Wire::State : std::enable_shared_from_this<Wire::State> {
  explicit State(asio::io_context& io) : socket(io) {}

  void read() {
    if (!reading) return;
    socket.async_read_some(asio::buffer(bytes), [self = shared_from_this()](std::error_code ec, std::size_t size) {
      self->received.append(self->bytes.data(), size);
      if (ec)
        self->closed = true;
      else
        self->read();
    });
  }

  asio::generic::stream_protocol::socket socket;
  std::array<char, 65'536> bytes;
  std::string received;
  bool closed = false, reading = true;
};

namespace {

asio::generic::stream_protocol::endpoint address_of(const ApiHost& host, int tcp_port) {
  if (tcp_port == 0) return asio::local::stream_protocol::endpoint(host.api_path().string());
  return asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), static_cast<unsigned short>(tcp_port));
}

} // namespace

Wire::Wire(ApiHost& host, int tcp_port) : Wire(host, address_of(host, tcp_port)) {}

Wire::Wire(ApiHost& host, const asio::generic::stream_protocol::endpoint& to)
    : host_(host), state_(std::make_shared<State>(host.io)) {
  state_->socket.connect(to);
  state_->socket.non_blocking(true);
  state_->read();
}

Wire::~Wire() {
  close();
}

void Wire::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t size = ::send(state_->socket.native_handle(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (size > 0) {
      bytes.remove_prefix(static_cast<std::size_t>(size));
      continue;
    }
    if (errno != EAGAIN) throw std::system_error(errno, std::generic_category(), "send");
    bool writable = false;
    state_->socket.async_wait(asio::socket_base::wait_write, [&](std::error_code) { writable = true; });
    host_.wait_until("the service reads", [&] { return writable; });
  }
}

bool Wire::has_line() const {
  return state_->received.find('\n') != std::string::npos;
}

bool Wire::closed() const {
  return state_->closed;
}

std::optional<std::string> Wire::line() {
  host_.wait_until("a line comes", [&] { return has_line() || state_->closed; });
  const std::size_t end = state_->received.find('\n');
  if (end == std::string::npos) return std::nullopt;
  std::string line = state_->received.substr(0, end);
  state_->received.erase(0, end + 1);
  return line;
}

Json Wire::message() {
  const std::optional<std::string> text = line();
  if (!text) throw std::runtime_error("the service has closed the connection");
  return qemuctl::parse_json(*text);
}

std::string Wire::ask(std::string_view request) {
  send(std::string(request) + "\n"); // at once, or TCP waits for an acknowledgement between the two
  const std::optional<std::string> answer = line();
  return answer ? *answer : "(closed)";
}

Json Wire::event(std::string_view name) {
  for (;;) {
    Json next = message();
    const Json* event = next.find("event");
    if (event && *event == Json(name)) return next;
  }
}

void Wire::stop_reading() {
  state_->reading = false;
  std::error_code ignored;
  state_->socket.cancel(ignored);
  host_.wait_until("it does not read", [&] { return state_->closed; });
  state_->closed = false;
}

std::size_t Wire::unread() const {
  return state_->socket.available();
}

void Wire::go_on_reading() {
  state_->reading = true;
  state_->read();
}

void Wire::close() {
  state_->reading = false;
  std::error_code ignored;
  state_->socket.close(ignored);
}

} // namespace test
