// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "serial_port.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>

namespace tool {

namespace {

bool remove_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

[[noreturn]] void fail(const std::string& path, const std::string& why) {
  throw std::runtime_error(fmt::format("cannot connect to the serial port ({}): {}", path, why));
}

std::string describe(int error) {
  return std::generic_category().message(error);
}

qemuctl::FileDescriptor connect_unix(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) fail(path, "the path is too long for a socket");
  std::memcpy(address.sun_path, path.data(), path.size());
  // Non-blocking: with a client and another one waiting for its turn, connect() would wait until both have gone.
  qemuctl::FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) fail(path, describe(errno));
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    fail(path, errno == EAGAIN ? "other clients wait for it" : describe(errno));
  return socket;
}

} // namespace

Chardev parse_chardev(std::string_view filename) {
  Chardev chardev;
  chardev.in_use = !remove_prefix(filename, "disconnected:");
  if (remove_prefix(filename, "unix:")) {
    constexpr std::string_view server = ",server=on";
    if (!filename.ends_with(server)) return {};
    filename.remove_suffix(server.size());
    if (filename.ends_with(",abstract=on") || filename.ends_with(",tight=on")) return {};
    chardev.kind = Chardev::Kind::unix_socket;
  } else if (remove_prefix(filename, "pty:")) {
    chardev.kind = Chardev::Kind::pty;
    chardev.in_use = false;
  } else {
    return {};
  }
  chardev.path = filename;
  return chardev;
}

std::string first_serial_port(const qemuctl::Json& chardevs) {
  std::string found;
  std::string found_label;
  for (const qemuctl::Json& chardev : chardevs.as_array()) {
    const std::string& label = chardev.at("label").as_string();
    if (label.find("serial") == std::string::npos) continue;
    // QEMU lists them in no particular order.
    if (!found_label.empty() && label != "serial0" && (found_label == "serial0" || label > found_label)) continue;
    found_label = label;
    found = chardev.at("filename").as_string();
  }
  return found;
}

qemuctl::FileDescriptor connect_serial_port(const std::string& filename) {
  if (filename.empty()) throw std::runtime_error("cannot connect to the serial port: this VM has none");
  const Chardev chardev = parse_chardev(filename);
  if (chardev.kind == Chardev::Kind::other)
    fail(filename, "only a Unix socket that QEMU listens on, or a pty, can be connected to");
  if (chardev.in_use) fail(chardev.path, "another client uses it, and it serves only one");
  if (chardev.kind == Chardev::Kind::unix_socket) return connect_unix(chardev.path);

  qemuctl::FileDescriptor pty(::open(chardev.path.c_str(), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
  if (!pty) fail(chardev.path, describe(errno));
  return pty;
}

} // namespace tool
