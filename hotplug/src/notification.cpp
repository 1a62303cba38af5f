// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include <hotplug/notification.hpp>

#include <utility>

namespace hotplug {

std::string_view to_string(LinkState state) noexcept {
  switch (state) {
  case LinkState::waiting:
    return "waiting";
  case LinkState::connecting:
    return "connecting";
  case LinkState::connected:
    return "connected";
  case LinkState::yielded:
    return "yielded";
  case LinkState::blocked:
    return "blocked";
  case LinkState::ended:
    return "ended";
  }
  return "";
}

std::string_view to_string(Notification::Kind kind) noexcept {
  switch (kind) {
  case Notification::Kind::usb_connected:
    return "usb_connected";
  case Notification::Kind::usb_disconnected:
    return "usb_disconnected";
  case Notification::Kind::usb_attached:
    return "usb_attached";
  case Notification::Kind::usb_detached:
    return "usb_detached";
  case Notification::Kind::usb_select_vm:
    return "usb_select_vm";
  case Notification::Kind::device_degraded:
    return "device_degraded";
  case Notification::Kind::vm_state:
    return "vm_state";
  }
  return "";
}

std::vector<Notification> difference(const UsbState* before, const UsbState* after) {
  using Kind = Notification::Kind;
  std::vector<Notification> notifications;
  const auto tell = [&](Kind kind, const UsbState& usb, const std::string& vm = {}, const std::string& text = {}) {
    notifications.push_back({kind, usb, vm, text, 0, {}});
  };
  const std::optional<std::string> nowhere;
  const std::optional<std::string>& from = before ? before->vm : nowhere;
  const std::optional<std::string>& to = after ? after->vm : nowhere;

  if (!before && after) tell(Kind::usb_connected, *after);
  if (from && from != to) tell(Kind::usb_detached, after ? *after : *before, *from);
  if (before && !after) tell(Kind::usb_disconnected, *before);
  if (to && from != to) tell(Kind::usb_attached, *after, *to);
  if (after && after->select && !(before && before->select)) tell(Kind::usb_select_vm, *after);
  if (after && !after->degraded.empty() && !(before && before->degraded == after->degraded))
    tell(Kind::device_degraded, *after, {}, after->degraded);
  return notifications;
}

} // namespace hotplug
