// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hotplug/state.hpp>

#include <optional>
#include <string>
#include <vector>

namespace hotplug::detail {

/// The conditions that identify a device; all that are set must hold.
struct DeviceSelector {
  std::optional<std::string> device_node; ///< of USB and input devices
  std::optional<std::string> port_path;   ///< of USB devices; so are the next ones
  std::optional<int> bus, port;           ///< `port` is that of the root hub
  std::optional<int> vendor_id, product_id;
  std::optional<std::string> address; ///< of PCI devices, with or without its domain
  std::optional<int> device_id;       ///< of PCI devices; beside `vendor_id`
  std::optional<std::string> name;    ///< of input devices
  bool operator==(const DeviceSelector&) const = default;
};

/// The only device that the selector matches. Throws `qemuctl::Error`: `not_found`, or `invalid_argument` with the
/// candidates if there are several.
const DeviceState& find_device(const std::vector<DeviceState>& devices, const DeviceSelector& selector);

} // namespace hotplug::detail
