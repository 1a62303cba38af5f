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

/// Carries out an action whose name begins with `vm_`, other than listing and starting. Returns the members to add to
/// the answer; null: none. Throws `qemuctl::Error`.
asio::awaitable<qemuctl::Json> control_vm(std::shared_ptr<qemuctl::Instance> vm, ApiRequest request);

} // namespace hotplug::detail
