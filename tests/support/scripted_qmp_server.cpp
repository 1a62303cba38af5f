// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "scripted_qmp_server.hpp"

#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace test {

using qemuctl::FileDescriptor;
using qemuctl::Json;

namespace {

constexpr int patience_ms = 10'000;
constexpr std::size_t max_descriptors = 64;

/// The test has ended, which also ends the script.
struct Stopped {};

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

void wait_until_ready(int fd, short events, int stop) {
  pollfd watched[] = {{fd, events, 0}, {stop, POLLIN, 0}};
  int ready = 0;
  do ready = poll(watched, 2, patience_ms);
  while (ready < 0 && errno == EINTR);
  if (ready < 0) fail("poll");
  if (watched[1].revents != 0) throw Stopped{};
  if (ready == 0) throw std::runtime_error("the script waited in vain for its client");
}

void bind_and_listen(int socket, const void* address, std::size_t length) {
  if (bind(socket, static_cast<const sockaddr*>(address), static_cast<socklen_t>(length)) != 0) fail("bind");
  if (listen(socket, 1) != 0) fail("listen"); // the backlog QEMU uses
}

} // namespace

void QmpPeer::wait_for(short events) const {
  wait_until_ready(socket_.get(), events, stop_);
}

void QmpPeer::send(std::string_view bytes) {
  while (!bytes.empty()) {
    wait_for(POLLOUT);
    const auto sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (sent < 0) fail("send");
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

void QmpPeer::send_in_pieces(std::string_view bytes, std::size_t piece) {
  for (; !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size()))) send(bytes.substr(0, piece));
}

void QmpPeer::send_while_it_lasts(std::string_view bytes) {
  try {
    send(bytes);
  } catch (const std::system_error& error) {
    if (error.code() != std::errc::broken_pipe && error.code() != std::errc::connection_reset) throw;
  }
}

void QmpPeer::negotiate() {
  greet();
  reply(expect("qmp_capabilities"));
}

QmpPeer::Command QmpPeer::receive() {
  Command command;
  std::string text;
  while (!text.ends_with('\n')) {
    wait_for(POLLIN);
    // Never past the end of this command, so as not to take the descriptors of the next.
    char bytes[4096];
    const auto seen = recv(socket_.get(), bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);
    if (seen < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (seen < 0) fail("recv");
    if (seen == 0) throw std::runtime_error("the client has left, but a command was expected");
    const std::string_view waiting(bytes, static_cast<std::size_t>(seen));
    const auto line_end = waiting.find('\n');
    iovec part{bytes, line_end == waiting.npos ? waiting.size() : line_end + 1};
    alignas(cmsghdr) char control[CMSG_SPACE(max_descriptors * sizeof(int))];
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const auto taken = recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (taken < 0) fail("recvmsg");
    text.append(bytes, static_cast<std::size_t>(taken));
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
      if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
      const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      int numbers[max_descriptors];
      std::memcpy(numbers, CMSG_DATA(header), count * sizeof(int));
      for (std::size_t i = 0; i < count; ++i) command.descriptors.emplace_back(numbers[i]);
    }
  }
  const Json json = qemuctl::parse_json(text);
  command.name = json.at("execute").as_string();
  if (const Json* arguments = json.find("arguments")) command.arguments = *arguments;
  command.id = json.at("id");
  return command;
}

QmpPeer::Command QmpPeer::expect(std::string_view name) {
  Command command = receive();
  if (command.name != name)
    throw std::runtime_error("the script expected " + std::string(name) + ", but got " + command.name);
  return command;
}

std::string more_than_a_socket_holds() {
  std::size_t limit = 0;
  if (!(std::ifstream("/proc/sys/net/core/wmem_default") >> limit)) fail("read net.core.wmem_default");
  return std::string(2 * limit, 'x'); // a socket ends up with half a limit too much at most
}

std::string QmpPeer::reply_text(const Command& command, const Json& value) {
  return Json::object({{"return", value}, {"id", command.id}}).dump() + "\r\n";
}

void QmpPeer::refuse(const Command& command, std::string_view qmp_class, std::string_view text) {
  const Json error = Json::object({{"class", qmp_class}, {"desc", text}});
  send(Json::object({{"id", command.id}, {"error", error}}).dump() + "\r\n");
}

std::string QmpPeer::event_text(std::string_view name, const Json& data) {
  Json event = Json::object({{"timestamp", Json::object({{"seconds", 1'700'000'000}, {"microseconds", 250'000}})}});
  event.set("event", name);
  if (!data.is_null()) event.set("data", data);
  return event.dump() + "\r\n";
}

void QmpPeer::stay_silent() {
  wait_for(POLLRDHUP);
}

void QmpPeer::wait_until_closed() {
  for (;;) {
    wait_for(POLLIN | POLLRDHUP);
    char bytes[4096];
    const auto received = recv(socket_.get(), bytes, sizeof bytes, MSG_DONTWAIT);
    if (received == 0 || (received < 0 && errno == ECONNRESET)) return;
    if (received < 0 && errno != EAGAIN && errno != EINTR) fail("recv");
  }
}

void QmpPeer::reset() {
  // TCP sends a reset when closed with this option; a Unix socket does so if something was left unread.
  const linger at_once{1, 0};
  setsockopt(socket_.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close();
}

ScriptedQmpServer::ScriptedQmpServer(std::vector<Script> scripts, Transport transport) {
  stop_.reset(eventfd(0, EFD_CLOEXEC));
  if (!stop_) fail("eventfd");
  listen(transport);
  thread_ = std::thread([this, scripts = std::move(scripts)] { serve(scripts); });
}

ScriptedQmpServer::~ScriptedQmpServer() {
  eventfd_write(stop_.get(), 1);
  if (thread_.joinable()) thread_.join();
}

void ScriptedQmpServer::finish() {
  thread_.join();
  if (failure_) std::rethrow_exception(failure_);
}

void ScriptedQmpServer::listen(Transport transport) {
  const int family = transport == Transport::tcp ? AF_INET : AF_UNIX;
  listener_.reset(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!listener_) fail("socket");
  if (transport == Transport::tcp) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    bind_and_listen(listener_.get(), &address, length);
    if (getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0) fail("getsockname");
    address_ = qemuctl::TcpAddress{"127.0.0.1", ntohs(address.sin_port)};
    return;
  }
  const std::string path = folder_ / "qmp.sock";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  // The folder's name makes the abstract name unique, too.
  if (transport == Transport::unix_path) {
    address_ = qemuctl::UnixPath{path};
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    bind_and_listen(listener_.get(), &address, sizeof address);
  } else {
    const bool tight = transport == Transport::unix_abstract;
    address_ = qemuctl::UnixAbstract{path, tight};
    path.copy(address.sun_path + 1, sizeof address.sun_path - 1);
    bind_and_listen(listener_.get(), &address,
                    tight ? offsetof(sockaddr_un, sun_path) + 1 + path.size() : sizeof address);
  }
}

void ScriptedQmpServer::serve(const std::vector<Script>& scripts) {
  try {
    for (const auto& script : scripts) {
      wait_until_ready(listener_.get(), POLLIN, stop_.get());
      FileDescriptor socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!socket) fail("accept");
      QmpPeer peer(std::move(socket), stop_.get());
      script(peer);
    }
  } catch (const Stopped&) { // the test ended first, which is fine
  } catch (...) {
    failure_ = std::current_exception();
  }
}

} // namespace test
