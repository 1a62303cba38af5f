// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "config/networks.hpp"
#include "launch_resources.hpp"
#include "monitor_socket.hpp"

#include <qemuctl/error.hpp>

#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace qemuctl::detail {

namespace {

constexpr std::chrono::seconds connect_timeout{10};

MonitorAddress address_of(const StreamEnd& end) {
  if (!end.path.empty()) return UnixPath{end.path};
  return TcpAddress{end.host, static_cast<std::uint16_t>(end.port)};
}

asio::awaitable<FileDescriptor> connect(asio::any_io_executor executor, StreamEnd end, std::string path,
                                        std::string subject) {
  const MonitorAddress address = address_of(end);
  const auto attempt = std::make_shared<ConnectAttempt>(executor, subject, connect_timeout);
  std::optional<Error> failure;
  try {
    StreamSocket socket = co_await connect_to_monitor(attempt, address);
    co_return FileDescriptor(socket.release());
  } catch (const Error& error) {
    failure = error;
  }
  Diagnostics diagnostics;
  diagnostics.operation = "launch";
  diagnostics.subject = std::move(subject);
  diagnostics.detail = fmt::format("{}: connect to {}: {}", path, to_string(address), failure->diagnostics().detail);
  diagnostics.advice = "Start the VM that listens there first, or give this one reconnect (QEMU 8.0 or newer).";
  throw Error(failure->code(), std::move(diagnostics));
}

} // namespace

asio::awaitable<void> open_network_sockets(const VmConfig& config, LaunchResources& resources) {
  for (std::size_t i = 0; i < config.networks.size(); ++i) {
    const std::optional<StreamEnd> end = stream_end(config.networks[i].backend);
    if (!end) continue;
    const std::string path = fmt::format("networks[{}].backend", i);
    if (end->server && !end->path.empty()) resources.inherit_for(path, resources.files().listen(end->path));
    if (!launcher_connects(*end)) continue;
    asio::awaitable<FileDescriptor> connecting = connect(resources.executor(), *end, path, "VM " + config.name);
    FileDescriptor socket = co_await std::move(connecting);
    resources.inherit_for(path, std::move(socket));
  }
}

} // namespace qemuctl::detail
