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

/// Carries out requests of the device API. Bound to the engine's executor.
class ApiActions {
 public:
  ApiActions(Engine& engine, ApiServerOptions options) : engine_(engine), options_(std::move(options)) {}

  /// Called for each device that a request with a tag has been carried out for, with the error; an empty one means
  /// success.
  using Report = std::function<void(const DeviceState& device, std::string_view error)>;
  /// The current rights: they may change while a request waits.
  using CurrentRights = std::shared_ptr<const Rights>;

  /// The answer to a request other than `auth` and `enable_notifications`. Throws `qemuctl::Error`.
  asio::awaitable<qemuctl::Json> carry_out(ApiRequest request, CurrentRights rights, Report report);
  /// The same with fixed rights.
  asio::awaitable<qemuctl::Json> carry_out(ApiRequest request, Rights rights);

 private:
  /// The devices of one kind, or of all kinds, as a client with these rights sees them.
  std::vector<DeviceState> visible(const Rights& rights, std::optional<DeviceKind> kind) const;
  qemuctl::Json list(const ApiRequest& request, const Rights& rights) const;
  qemuctl::Json list_vms(const Rights& rights) const;
  asio::awaitable<void> move(ApiRequest request, CurrentRights rights, Report report);
  /// Moves one device. The device and the rights are looked up when this begins.
  asio::awaitable<void> move_one(std::string sys_path, ApiRequest request, CurrentRights rights);
  asio::awaitable<void> move_all(ApiRequest request, Rights rights);
  asio::awaitable<qemuctl::Json> vm_status(std::string name);
  asio::awaitable<qemuctl::Json> vmm_args(ApiRequest request);
  asio::awaitable<qemuctl::Json> act_on_vm(ApiRequest request, Rights rights);

  Engine& engine_;
  ApiServerOptions options_;
};

} // namespace hotplug::detail
