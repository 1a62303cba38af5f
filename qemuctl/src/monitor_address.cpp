// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include <qemuctl/error.hpp>
#include <qemuctl/monitor_address.hpp>

#include <charconv>

namespace qemuctl {

namespace {

constexpr std::string_view loose = ",tight=off";

[[noreturn]] void refuse(std::string_view text, std::string detail) {
  throw Error(errc::invalid_argument, {.operation = "read the monitor address",
                                       .subject = std::string(text),
                                       .detail = std::move(detail),
                                       .advice = "Write /PATH, unix:PATH, @NAME or tcp:HOST:PORT."});
}

UnixPath path_address(std::string_view text, std::string_view path) {
  if (path.empty()) refuse(text, "the path is empty");
  if (path.find('\0') != std::string_view::npos) refuse(text, "the path contains a NUL byte");
  return {std::string(path)};
}

TcpAddress tcp_address(std::string_view text, std::string_view rest) {
  std::string_view host;
  std::string_view port;
  if (rest.starts_with('[')) {
    const auto end = rest.find("]:");
    if (end == std::string_view::npos) refuse(text, "\"]:\" and a port are missing after the IPv6 address");
    host = rest.substr(1, end - 1);
    port = rest.substr(end + 2);
  } else {
    const auto colon = rest.find(':');
    if (colon == std::string_view::npos) refuse(text, "the port is missing");
    host = rest.substr(0, colon);
    port = rest.substr(colon + 1);
    if (port.find(':') != std::string_view::npos) refuse(text, "an IPv6 address needs brackets: tcp:[::1]:4444");
  }
  if (host.empty()) refuse(text, "the host is missing");
  if (host.find('\0') != std::string_view::npos) refuse(text, "the host contains a NUL byte");

  std::uint16_t number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (error != std::errc{} || end != port.data() + port.size() || number == 0)
    refuse(text, "the port is not a number from 1 to 65535");
  return {std::string(host), number};
}

} // namespace

std::string to_string(const MonitorAddress& address) {
  if (const auto* unix_path = std::get_if<UnixPath>(&address)) {
    const std::string& path = unix_path->path;
    const bool ambiguous = path.starts_with('@') || path.starts_with("unix:") || path.starts_with("tcp:");
    return ambiguous ? "unix:" + path : path;
  }
  if (const auto* abstract = std::get_if<UnixAbstract>(&address)) {
    std::string text = "@" + abstract->name;
    if (!abstract->tight) text += loose;
    return text;
  }
  const auto& tcp = std::get<TcpAddress>(address);
  const bool brackets = tcp.host.find(':') != std::string::npos;
  return (brackets ? "tcp:[" + tcp.host + "]:" : "tcp:" + tcp.host + ":") + std::to_string(tcp.port);
}

MonitorAddress parse_monitor_address(std::string_view text) {
  if (text.empty()) refuse(text, "it is empty");
  if (text.starts_with('@')) {
    std::string_view name = text.substr(1);
    const bool tight = !name.ends_with(loose);
    if (!tight) name.remove_suffix(loose.size());
    if (name.empty()) refuse(text, "the name is empty");
    return UnixAbstract{std::string(name), tight};
  }
  if (text.starts_with("unix:")) return path_address(text, text.substr(5));
  if (text.starts_with("tcp:")) return tcp_address(text, text.substr(4));
  return path_address(text, text);
}

} // namespace qemuctl
