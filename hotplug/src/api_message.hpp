// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hotplug/notification.hpp>
#include <hotplug/state.hpp>
#include <qemuctl/json.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hotplug::detail {

/// How a request of the device API names a USB device: by all that is there.
struct UsbSelector {
  std::optional<std::string> device_node, port_path;
  std::optional<int> bus, port; ///< `port` is that of the root hub
  std::optional<int> vendor_id, product_id;
  bool operator==(const UsbSelector&) const = default;
};

/// A request of the device API.
struct ApiRequest {
  enum class Action { enable_notifications, usb_list, usb_attach, usb_detach } action = Action::usb_list;
  UsbSelector device;
  std::string vm;                   ///< of `usb_attach`; may be empty
  std::optional<bool> disconnected; ///< of `usb_list`: only those that a person has taken out, or only the others
};

/// The member `id` of a request, which its answer has, too; nullopt: it has none, or it is no request at all.
std::optional<qemuctl::Json> request_id(const qemuctl::Json& message);

/// Throws `qemuctl::Error` (`errc::invalid_argument`) that names the field and what it should be.
ApiRequest parse_request(const qemuctl::Json& message);

/// The device that is meant. Throws `qemuctl::Error`: `not_found`, or `invalid_argument` with the candidates when there
/// are several.
const UsbState& find_device(const std::vector<UsbState>& devices, const UsbSelector& selector);

/// A device with vhotplug's field names, and ours.
qemuctl::Json to_json(const UsbState& usb);
/// An event; null for those that the API does not have.
qemuctl::Json to_json(const Notification& notification);

qemuctl::Json ok_answer();
qemuctl::Json failed_answer(std::string_view error);

} // namespace hotplug::detail
