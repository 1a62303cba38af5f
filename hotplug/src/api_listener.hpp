// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "api_access.hpp"

#include <hotplug/config.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/basic_socket_acceptor.hpp>
#include <asio/generic/stream_protocol.hpp>

#include <string>

namespace hotplug::detail {

using ApiSocket = asio::generic::stream_protocol::socket;
using ApiAcceptor = asio::basic_socket_acceptor<asio::generic::stream_protocol>;

/// A socket of the device API that listens. A Unix socket's file is removed at the end.
class ApiListener {
 public:
  /// Throws `qemuctl::Error`: `already_running` when somebody serves that Unix socket, `invalid_argument` for a
  /// transport or host that can not be, `not_found` for a user or group, otherwise a system error.
  ApiListener(const asio::any_io_executor& executor, const std::string& transport, const ApiConfig& config);
  ~ApiListener();
  ApiListener(const ApiListener&) = delete;
  ApiListener& operator=(const ApiListener&) = delete;

  ApiAcceptor acceptor;
  std::string transport;
  int port = 0; ///< of TCP, also when the configuration leaves it to the kernel

 private:
  void listen_unix(const ApiConfig& config);
  void listen_tcp(const ApiConfig& config);
  void listen_vsock(const ApiConfig& config);

  std::string file_; ///< to be removed
};

/// What the kernel tells of the client at the other end.
Peer peer_of(int socket, const std::string& transport);

} // namespace hotplug::detail
