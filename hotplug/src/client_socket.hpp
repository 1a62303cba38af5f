// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hotplug/client.hpp>

#include <asio/awaitable.hpp>
#include <asio/generic/stream_protocol.hpp>

#include <chrono>

namespace hotplug::detail {

using ClientSocket = asio::generic::stream_protocol::socket;

/// Connects to a device API. Throws `qemuctl::Error`: `connect_failed`, `timed_out`.
asio::awaitable<ClientSocket> connect_api(ApiAddress address, std::chrono::milliseconds timeout);

} // namespace hotplug::detail
