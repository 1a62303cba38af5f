// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "api_access.hpp"
#include "api_request.hpp"

#include <hotplug/api_server.hpp>
#include <hotplug/engine.hpp>
#include <qemuctl/json.hpp>

#include <asio/awaitable.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hotplug::detail {

/// Does what clients of the device API ask for. Bound to the engine's executor.
class ApiActions {
 public:
  ApiActions(Engine& engine, ApiServerOptions options) : engine_(engine), options_(std::move(options)) {}

  /// Is told of each device that a request with a tag was carried out for, and how: an empty error means that it is
  /// done.
  using Report = std::function<void(const DeviceState& device, std::string_view error)>;
  /// Rights as they are now: a request that has to wait may find others afterwards.
  using CurrentRights = std::shared_ptr<const Rights>;

  /// The answer to a request other than `auth` and `enable_notifications`. Throws `qemuctl::Error`.
  asio::awaitable<qemuctl::Json> carry_out(ApiRequest request, CurrentRights rights, Report report);
  /// The same with rights that stay as they are.
  asio::awaitable<qemuctl::Json> carry_out(ApiRequest request, Rights rights);

 private:
  /// Those of one kind, or of all, as they are seen with these rights.
  std::vector<DeviceState> visible(const Rights& rights, std::optional<DeviceKind> kind) const;
  qemuctl::Json list(const ApiRequest& request, const Rights& rights) const;
  qemuctl::Json list_vms(const Rights& rights) const;
  asio::awaitable<void> move(ApiRequest request, CurrentRights rights, Report report);
  /// Of one device. It is looked up anew, and the rights are checked, when this begins.
  asio::awaitable<void> move_one(std::string sys_path, ApiRequest request, CurrentRights rights);
  asio::awaitable<void> move_all(ApiRequest request, Rights rights);
  asio::awaitable<qemuctl::Json> vm_status(std::string name);
  asio::awaitable<qemuctl::Json> vmm_args(ApiRequest request);
  asio::awaitable<qemuctl::Json> act_on_vm(ApiRequest request, Rights rights);

  Engine& engine_;
  ApiServerOptions options_;
};

} // namespace hotplug::detail
