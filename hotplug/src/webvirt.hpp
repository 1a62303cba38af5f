// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "api_access.hpp"
#include "api_actions.hpp"
#include "http_message.hpp"

#include <hotplug/engine.hpp>
#include <qemuctl/instance.hpp>

#include <asio/awaitable.hpp>

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hotplug::detail {

/// webvirt's name for the state of a VM. Pure.
std::string_view webvirt_state(const qemuctl::VmStatus& status);

/// An error in webvirt's form; `failure` is its class in /metrics. Pure.
HttpResponse webvirt_problem(int status, std::string failure, std::string_view detail);

/// The resources below `/api/0`: webvirt's, with its answers. Everything is done by GET. Bound to the engine's
/// executor.
class Webvirt {
 public:
  Webvirt(Engine& engine, std::filesystem::path devices_dir);

  void use_templates_in(std::filesystem::path devices_dir) { devices_dir_ = std::move(devices_dir); }

  /// The answer to a request for that path below `/api/0`.
  asio::awaitable<HttpResponse> answer(HttpRequest request, std::vector<std::string> path, Rights rights);

 private:
  asio::awaitable<HttpResponse> act(std::string action, std::string domain, Rights rights);
  asio::awaitable<HttpResponse> move(HttpRequest request, bool attach, std::string domain, std::string name,
                                     Rights rights);

  Engine& engine_;
  std::filesystem::path devices_dir_;
  ApiActions actions_;
};

} // namespace hotplug::detail
