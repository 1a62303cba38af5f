// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "api_access.hpp"
#include "api_actions.hpp"
#include "http_message.hpp"
#include "rest_resources.hpp"

#include <hotplug/engine.hpp>

#include <asio/awaitable.hpp>

#include <optional>
#include <string>
#include <vector>

namespace hotplug::detail {

/// The resources below `/api/1`, except the events. Independent of connections. Bound to the engine's executor.
class RestApi {
 public:
  RestApi(Engine& engine, ApiServerOptions options);

  /// The answer to a request for that path below `/api/1`. Throws `qemuctl::Error`.
  asio::awaitable<HttpResponse> answer(HttpRequest request, std::vector<std::string> path, Rights rights);

  /// All devices with their ids, and all VMs, as a caller with these rights sees them.
  struct Picture {
    std::vector<DeviceState> devices;
    std::vector<std::string> ids;
    std::vector<std::string> held; ///< why the caller may not take each device from where it is; empty: it may
    std::vector<VmState> vms;
    Rights rights;
  };
  Picture look(const Rights& rights);
  qemuctl::Json vm_json(const VmState& vm, const Picture& picture) const;
  qemuctl::Json device_json(std::size_t index, const Picture& picture) const;
  /// The id of one device, which may be gone already.
  std::string id_of(const DeviceState& device);

 private:
  asio::awaitable<HttpResponse> answer_devices(HttpRequest request, std::vector<std::string> path, Rights rights);
  asio::awaitable<HttpResponse> answer_vms(HttpRequest request, std::vector<std::string> path, Rights rights);
  asio::awaitable<HttpResponse> move(HttpRequest request, std::string id, Rights rights);
  asio::awaitable<HttpResponse> act(HttpRequest request, std::string name, std::string action, Rights rights);
  asio::awaitable<void> wait_until_seen(std::string name, bool running);
  asio::awaitable<HttpResponse> screenshot(std::string name, Rights rights);

  Engine& engine_;
  ApiServerOptions options_;
  ApiActions actions_;
  DeviceIds ids_;
};

} // namespace hotplug::detail
