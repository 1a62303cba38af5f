// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli_options.hpp"

#include <qemuctl/json.hpp>

#include <asio/awaitable.hpp>

namespace tool {

/// Does to a VM without a service what a request of the device API (`vm_status`, `vm_pause`, ...) asks for, and answers
/// as the service would. Throws `qemuctl::Error`.
asio::awaitable<qemuctl::Json> ask_vm(CliOptions options, qemuctl::Json request);

} // namespace tool
