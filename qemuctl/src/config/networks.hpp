// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// What the check, the command line and the launch must agree on.
#pragma once

#include <qemuctl/network_config.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace qemuctl::detail {

inline bool is_script(const std::string& script) {
  return !script.empty() && script != "no";
}

/// QEMU opens the interface itself, because it runs a program that sets it up.
inline bool qemu_opens(const TapNetBackend& tap) {
  return is_script(tap.script) || is_script(tap.down_script);
}

inline std::size_t queues_of(const TapNetBackend& tap) {
  return tap.fds.empty() ? static_cast<std::size_t>(tap.queues) : tap.fds.size();
}

/// One end of a connection between two VMs.
struct StreamEnd {
  std::string path; ///< Unix socket, or
  std::string host; ///< TCP
  int port = 0;
  bool server = false;
  int reconnect = 0; ///< s
};

/// nullopt: not such a backend, or a multicast group.
inline std::optional<StreamEnd> stream_end(const NetworkBackend& backend) {
  if (const auto* stream = std::get_if<StreamNetBackend>(&backend))
    return StreamEnd{stream->path, stream->host, stream->port, stream->server, stream->reconnect};
  const auto* socket = std::get_if<SocketNetBackend>(&backend);
  if (!socket || !socket->multicast.empty()) return std::nullopt;
  return StreamEnd{socket->path, socket->host, socket->port, socket->server, socket->reconnect};
}

/// The launcher connects, so that a missing server is an error, which QEMU would ignore. QEMU itself connects a client
/// that retries.
inline bool launcher_connects(const StreamEnd& end) {
  return !end.server && end.reconnect == 0;
}

/// "virtio" means the variant for the machine's bus.
inline bool is_virtio_net(std::string_view model) {
  return model == "virtio" || model.starts_with("virtio-net");
}

} // namespace qemuctl::detail
