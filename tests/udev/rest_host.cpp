// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "rest_host.hpp"

#include "golden.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <stdexcept>
#include <system_error>

namespace test {

using qemuctl::Json;

namespace {

/// Whether a path of openapi.json, with parameters in it, is that of a request.
bool is_path(std::string_view described, std::string_view target) {
  target = target.substr(0, target.find('?'));
  while (!described.empty() && !target.empty()) {
    const std::string_view wanted = described.substr(0, described.find('/', 1));
    const std::string_view found = target.substr(0, target.find('/', 1));
    if (wanted != found && !(wanted.starts_with("/{") && found.size() > 1)) return false;
    described.remove_prefix(wanted.size());
    target.remove_prefix(found.size());
  }
  return described.empty() && target.empty();
}

/// Throws when an answer's status is none of those that openapi.json has for what was asked for.
void check_documented(std::string_view method, std::string_view target, int status) {
  static const Json api = qemuctl::parse_json(read_file(source_dir() / "hotplug/web/openapi.json"));
  std::string operation(method);
  std::ranges::transform(operation, operation.begin(), [](unsigned char c) { return std::tolower(c); });
  for (const auto& [path, item] : api.at("paths").as_object()) {
    if (!is_path(path, target) || !item.contains(operation)) continue;
    if (!item.at(operation).at("responses").contains(std::to_string(status)))
      throw std::runtime_error(fmt::format("openapi.json has no status {} for {} {}", status, method, path));
  }
}

} // namespace

RestHost::RestHost() {
  rest.enable = true;
  rest.port = 0;
  rest_options.version = "1.2.3";
  rest_options.log = log_handler();
}

void RestHost::start_rest() {
  start_engine();
  server.emplace(io.get_executor(), *engine, rest, rest_options);
  serve(server->run());
}

void RestHost::stop_rest() {
  stop_serving();
  server.reset();
  stop();
}

std::string RestHost::token_file(std::string_view lines) {
  const std::filesystem::path file = dir / "tokens";
  std::ofstream(file) << lines;
  ::chmod(file.c_str(), 0600);
  return file.string();
}

std::string HttpAnswer::header(const std::string& name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? std::string() : found->second;
}

struct HttpWire::State : std::enable_shared_from_this<HttpWire::State> {
  explicit State(asio::io_context& io) : socket(io) {}

  void read() {
    socket.async_read_some(asio::buffer(bytes), [self = shared_from_this()](std::error_code ec, std::size_t size) {
      self->received.append(self->bytes.data(), size);
      if (ec)
        self->closed = true;
      else
        self->read();
    });
  }

  asio::ip::tcp::socket socket;
  std::array<char, 65'536> bytes;
  std::string received;
  bool closed = false;
};

HttpWire::HttpWire(RestHost& host, const char* from) : host_(host), state_(std::make_shared<State>(host.io)) {
  const auto port = static_cast<unsigned short>(host.server->port());
  state_->socket.open(asio::ip::tcp::v4());
  state_->socket.bind(asio::ip::tcp::endpoint(asio::ip::make_address(from), 0));
  state_->socket.connect(asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), port));
  state_->socket.non_blocking(true);
  state_->read();
}

HttpWire::~HttpWire() {
  close();
}

void HttpWire::send(std::string_view bytes) {
  while (!bytes.empty() && !state_->closed) {
    const ssize_t size = ::send(state_->socket.native_handle(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (size > 0) {
      bytes.remove_prefix(static_cast<std::size_t>(size));
      continue;
    }
    if (errno == EPIPE || errno == ECONNRESET) return; // which the test sees by the answer
    if (errno != EAGAIN) throw std::system_error(errno, std::generic_category(), "send");
    bool writable = false;
    state_->socket.async_wait(asio::socket_base::wait_write, [&](std::error_code) { writable = true; });
    host_.wait_until("the service reads", [&] { return writable; });
  }
}

std::string HttpWire::line() {
  host_.wait_until("a line comes", [&] { return state_->received.find('\n') != std::string::npos || state_->closed; });
  const std::size_t end = state_->received.find('\n');
  if (end == std::string::npos) throw std::runtime_error("the service has closed the connection");
  std::string line = state_->received.substr(0, end);
  state_->received.erase(0, end + 1);
  if (line.ends_with('\r')) line.pop_back();
  return line;
}

HttpAnswer HttpWire::head() {
  HttpAnswer answer;
  const std::string status = line();
  if (!status.starts_with("HTTP/1.1 ")) throw std::runtime_error("no answer of HTTP: " + status);
  std::from_chars(status.data() + 9, status.data() + status.size(), answer.status);
  for (std::string field = line(); !field.empty(); field = line()) {
    const std::size_t colon = std::min(field.find(": "), field.size());
    std::string name = field.substr(0, colon);
    std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    answer.headers[name] = field.substr(std::min(colon + 2, field.size()));
  }
  return answer;
}

std::optional<HttpAnswer> HttpWire::answer(bool of_head) {
  host_.wait_until("an answer comes", [&] { return !state_->received.empty() || state_->closed; });
  if (state_->received.empty()) return std::nullopt;
  HttpAnswer result = head();
  const std::size_t length =
      of_head || result.status == 204 || result.status == 304 ? 0 : std::stoul(result.header("content-length"));
  host_.wait_until("the body comes", [&] { return state_->received.size() >= length || state_->closed; });
  result.body = state_->received.substr(0, length);
  state_->received.erase(0, length);
  return result;
}

HttpAnswer HttpWire::ask(std::string_view method, std::string_view target, std::string_view fields,
                         std::string_view body) {
  std::string request = fmt::format("{} {} HTTP/1.1\r\n", method, target);
  if (fields.find("Host:") == fields.npos) request += fmt::format("Host: 127.0.0.1:{}\r\n", host_.server->port());
  request += fields;
  if (!body.empty() && fields.find("Content-Type:") == fields.npos) request += "Content-Type: application/json\r\n";
  if (!body.empty()) request += fmt::format("Content-Length: {}\r\n", body.size());
  send(request + "\r\n" + std::string(body));
  std::optional<HttpAnswer> result = answer(method == "HEAD");
  if (!result) throw std::runtime_error("the service has closed the connection");
  check_documented(method, target, result->status);
  return *result;
}

HttpWire::Event HttpWire::event() {
  Event event;
  for (;;) { // lines of a chunk's size are in between
    const std::string text = line();
    if (text.starts_with("id: ")) event.id = text.substr(4);
    if (text.starts_with("event: ")) event.type = text.substr(7);
    if (!text.starts_with("data: ")) continue;
    event.data = qemuctl::parse_json(text.substr(6));
    return event;
  }
}

HttpWire::Event HttpWire::event(std::string_view type) {
  for (;;) {
    Event next = event();
    if (next.type == type) return next;
  }
}

std::string HttpWire::rest_of_stream() {
  std::string rest;
  for (std::string text = line(); text != "0"; text = line()) {
    const bool size = text.find_first_not_of("0123456789ABCDEFabcdef") == text.npos; // or an empty line
    if (!size && text != ":") rest += text + "\n";
  }
  return rest;
}

bool HttpWire::has_event() const {
  return state_->received.find("event: ") != std::string::npos;
}

bool HttpWire::closed() const {
  return state_->closed;
}

void HttpWire::wait_until_closed() {
  host_.wait_until("the service closes the connection", [&] { return state_->closed; });
}

void HttpWire::close() {
  std::error_code ignored;
  state_->socket.close(ignored);
}

HttpAnswer ask(RestHost& host, std::string_view method, std::string_view target, std::string_view fields,
               std::string_view body) {
  HttpWire wire(host);
  return wire.ask(method, target, fields, body);
}

} // namespace test
