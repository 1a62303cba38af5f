// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "api_request.hpp"

#include <qemuctl/instance.hpp>
#include <qemuctl/json.hpp>

#include <asio/awaitable.hpp>

#include <memory>
#include <string>

namespace hotplug::detail {

/// What a VM shows on its screen.
struct Screenshot {
  Screenshot() = default; // no aggregate: see `qemuctl::QmpClientOptions`

  qemuctl::ScreenshotFormat format = qemuctl::ScreenshotFormat::png;
  std::string bytes;
};

/// Throws `qemuctl::Error`.
asio::awaitable<Screenshot> take_screenshot(std::shared_ptr<qemuctl::Instance> vm);

/// Does one of the actions that begin with `vm_` to a VM, other than listing or starting. What there is to be answered
/// besides "ok"; null: nothing. Throws `qemuctl::Error`.
asio::awaitable<qemuctl::Json> control_vm(std::shared_ptr<qemuctl::Instance> vm, ApiRequest request);

} // namespace hotplug::detail
