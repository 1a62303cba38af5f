// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "api_access.hpp"
#include "claims.hpp"

#include <hotplug/config.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/basic_socket_acceptor.hpp>
#include <asio/generic/stream_protocol.hpp>
#include <asio/ip/address.hpp>
#include <sys/types.h>

#include <string>

namespace hotplug::detail {

using ApiSocket = asio::generic::stream_protocol::socket;
using ApiAcceptor = asio::basic_socket_acceptor<asio::generic::stream_protocol>;

/// A socket of the device API that listens. A Unix socket's file is removed at the end, unless another one has taken
/// its place.
class ApiListener {
 public:
  /// Throws `qemuctl::Error`: `already_running` when somebody serves that Unix socket, `invalid_argument` for a
  /// transport or host that cannot be, `not_found` for a user or group, otherwise a system error.
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

  void remove_file() noexcept;

  Claim claim_;      ///< of the path, so that of two services that start only one takes it for stale
  std::string file_; ///< to be removed
  dev_t device_ = 0; ///< which file that is
  ino_t inode_ = 0;
};

/// The address of `config.host`. Throws `qemuctl::Error` (`invalid_argument`) when it is none, and when it is one of
/// the network that nothing protects.
asio::ip::address check_tcp_address(const ApiConfig& config);

/// What the kernel tells of the client at the other end.
Peer peer_of(int socket, const std::string& transport);

} // namespace hotplug::detail
