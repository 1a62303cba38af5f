// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace qemuctl {

/// A Unix socket in the file system. Paths longer than `sun_path` (107 bytes) work too; a relative path is relative to
/// the current directory.
struct UnixPath {
  UnixPath() = default;
  UnixPath(std::string socket_path) : path(std::move(socket_path)) {}

  std::string path;
  bool operator==(const UnixPath&) const = default;
};

/// A Unix socket in the abstract namespace; `name` excludes the leading NUL and may contain any byte.
/// QEMU pads the name with NULs to the full length of `sun_path` when `tight=off`.
struct UnixAbstract {
  UnixAbstract() = default;
  UnixAbstract(std::string socket_name, bool is_tight = true) : name(std::move(socket_name)), tight(is_tight) {}

  std::string name;
  bool tight = true;
  bool operator==(const UnixAbstract&) const = default;
};

/// A TCP socket. `host` is a name or a numeric address, IPv6 without brackets.
struct TcpAddress {
  TcpAddress() = default;
  TcpAddress(std::string host_name, std::uint16_t port_number) : host(std::move(host_name)), port(port_number) {}

  std::string host;
  std::uint16_t port = 0;
  bool operator==(const TcpAddress&) const = default;
};

/// Where a QMP monitor listens.
using MonitorAddress = std::variant<UnixPath, UnixAbstract, TcpAddress>;

/// `/run/qemu/demo.sock`, `@name`, `@name,tight=off`, `tcp:127.0.0.1:4444`, `tcp:[::1]:4444`: the
/// forms `parse_monitor_address` accepts. Nothing is escaped, not even unprintable bytes.
std::string to_string(const MonitorAddress& address);

/// Reads `/path`, `path`, `unix:PATH`, `@NAME`, `@NAME,tight=off`, `tcp:HOST:PORT`. Throws `Error`
/// (`errc::invalid_argument`).
MonitorAddress parse_monitor_address(std::string_view text);

} // namespace qemuctl
