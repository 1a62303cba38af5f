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

/// A listening socket of the device API. The file of a Unix socket is removed at the end, unless another one has
/// replaced it.
class ApiListener {
 public:
  /// Throws `qemuctl::Error`: `already_running` if another process serves that Unix socket, `invalid_argument` for an
  /// unknown transport or an invalid host, `not_found` for a user or group, otherwise a system error.
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

/// The address of `config.host`. Throws `qemuctl::Error` (`invalid_argument`) if it is not an address, or one that the
/// network can reach without authentication.
asio::ip::address check_tcp_address(const ApiConfig& config);

/// What the kernel reports about the client at the other end.
Peer peer_of(int socket, const std::string& transport);

} // namespace hotplug::detail
