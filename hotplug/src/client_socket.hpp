// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "wakeup.hpp"

#include <hotplug/client.hpp>

#include <asio/awaitable.hpp>
#include <asio/generic/stream_protocol.hpp>

#include <chrono>
#include <string>
#include <vector>

namespace hotplug::detail {

using ClientSocket = asio::generic::stream_protocol::socket;

/// Connects to a device API. Throws `qemuctl::Error`: `connect_failed`, `timed_out`.
asio::awaitable<ClientSocket> connect_api(ApiAddress address, std::chrono::milliseconds timeout);

/// Connects to the first of these, at least one, that takes a connection. Each gets its share of the time, `address` is
/// for errors. Throws likewise.
asio::awaitable<ClientSocket> connect_first(std::vector<asio::generic::stream_protocol::endpoint> endpoints,
                                            std::string address, qemuctl::detail::Wakeup::time_point deadline);

} // namespace hotplug::detail
