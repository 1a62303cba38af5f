// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "api_access.hpp"
#include "api_request.hpp"

#include <hotplug/api_server.hpp>
#include <hotplug/engine.hpp>
#include <qemuctl/json.hpp>

#include <asio/awaitable.hpp>

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace hotplug::detail {

/// Does what clients of the device API ask for. Bound to the engine's executor.
class ApiActions {
 public:
  ApiActions(Engine& engine, ApiServerOptions options) : engine_(engine), options_(std::move(options)) {}

  /// The answer to a request other than `auth` and `enable_notifications`. Throws `qemuctl::Error`.
  asio::awaitable<qemuctl::Json> carry_out(ApiRequest request, Rights rights);

 private:
  /// Those of one kind, or of all.
  std::vector<DeviceState> visible(const Rights& rights, std::optional<DeviceKind> kind) const;
  qemuctl::Json list(const ApiRequest& request, const Rights& rights) const;
  qemuctl::Json list_vms(const Rights& rights) const;
  asio::awaitable<void> move(ApiRequest request, Rights rights);
  asio::awaitable<void> move_all(ApiRequest request, Rights rights);
  asio::awaitable<qemuctl::Json> vm_status(std::string name);
  asio::awaitable<qemuctl::Json> vmm_args(ApiRequest request);
  asio::awaitable<qemuctl::Json> act_on_vm(ApiRequest request, Rights rights);

  Engine& engine_;
  ApiServerOptions options_;
};

} // namespace hotplug::detail
