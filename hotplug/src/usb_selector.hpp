// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hotplug/state.hpp>

#include <optional>
#include <string>
#include <vector>

namespace hotplug::detail {

/// How somebody names a USB device: by all that is there.
struct UsbSelector {
  std::optional<std::string> device_node, port_path;
  std::optional<int> bus, port; ///< `port` is that of the root hub
  std::optional<int> vendor_id, product_id;
  bool operator==(const UsbSelector&) const = default;
};

/// The device that is meant. Throws `qemuctl::Error`: `not_found`, or `invalid_argument` with the candidates when there
/// are several.
const UsbState& find_device(const std::vector<UsbState>& devices, const UsbSelector& selector);

} // namespace hotplug::detail
