// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "device_selector.hpp"

#include <hotplug/config.hpp>
#include <hotplug/device.hpp>
#include <hotplug/start_arguments.hpp>
#include <qemuctl/json.hpp>

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hotplug::detail {

/// The actions of the device API.
enum class ApiAction {
  authenticate,
  version,
  enable_notifications,
  list, ///< of one kind of devices; so are the next ones
  attach,
  detach,
  suspend,
  resume,
  explain,
  device_list,
  vm_list,
  vm_status,
  vm_start,
  vm_shutdown,
  vm_stop,
  vm_pause,
  vm_resume,
  vm_reset,
  vm_screenshot,
  vm_send_key,
  vmm_args,
  reload,
};

/// An action by its name.
struct KnownAction {
  std::string_view name;
  ApiAction action;
  std::optional<DeviceKind> kind; ///< the kind of devices that it is for; unset: none, or all
  ApiLevel level;                 ///< the level that it requires
};

/// All actions.
std::span<const KnownAction> known_actions();

/// A request of the device API.
struct ApiRequest {
  const KnownAction* known = nullptr;
  DeviceSelector device; ///< of `attach`, `detach` and `explain`, unless there is a tag
  std::string tag;       ///< of `list`, `attach`, `detach`: the devices of rules with it; empty: `device`
  std::string vm;        ///< may be empty where no VM is required
  bool any_vm = false;   ///< of `attach`: without `vm`, use the VM that it was in last, or the first, as vhotplug does
  std::string rom_file;  ///< of `attach`; not the client's to choose, because QEMU may read what it may not
  std::optional<bool> disconnected; ///< of `list`: only those that a user has detached, or only the others
  std::string token;                ///< of `authenticate`
  std::vector<std::string> keys;    ///< of `vm_send_key`
  int timeout = 30;                 ///< of `vm_stop`, in seconds
  StartOptions start;               ///< of `vmm_args`
};

/// The member `id` of a request, which its answer repeats; nullopt: there is none, or this is not a request.
std::optional<qemuctl::Json> request_id(const qemuctl::Json& message);

/// The action of a request. Throws `qemuctl::Error` (`errc::invalid_argument`).
const KnownAction& action_of(const qemuctl::Json& message);

/// A request for the log: one line of a few hundred characters at most, without secrets. Pure.
std::string request_text(const qemuctl::Json& message);

/// Reads a request. Throws `qemuctl::Error` (`errc::invalid_argument`) that names the field and what was expected.
ApiRequest parse_request(const qemuctl::Json& message);

/// Requests made by other APIs: that action on a device (`attach`, `detach`), and on a VM.
ApiRequest device_request(ApiAction action, const Device& device, std::string vm = {});
ApiRequest vm_request(ApiAction action, std::string vm);

/// Throws a `qemuctl::Error` for a client of the device API.
[[noreturn]] void refuse_request(std::error_code code, std::string detail, std::string advice = {});

} // namespace hotplug::detail
