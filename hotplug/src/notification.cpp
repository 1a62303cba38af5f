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

std::string_view to_string(ProblemKind kind) noexcept {
  switch (kind) {
  case ProblemKind::none:
    return "";
  case ProblemKind::refused:
    return "refused";
  case ProblemKind::timeout:
    return "timeout";
  case ProblemKind::unplug:
    return "unplug";
  case ProblemKind::no_place:
    return "no-place";
  case ProblemKind::guarded:
    return "guarded";
  case ProblemKind::in_use:
    return "in-use";
  case ProblemKind::group:
    return "group";
  case ProblemKind::kernel:
    return "kernel";
  case ProblemKind::rom_file:
    return "rom-file";
  case ProblemKind::left:
    return "left";
  case ProblemKind::flapping:
    return "flapping";
  }
  return "";
}

std::optional<UsbState> as_usb(const DeviceState& state) {
  const auto* device = std::get_if<UsbDevice>(&state.device);
  if (!device) return std::nullopt;
  UsbState usb;
  static_cast<Placement&>(usb) = state;
  usb.device = *device;
  return usb;
}

std::string event_name(const Notification& notification) {
  const auto of_kind = [&](const char* what) {
    return std::string(to_string(kind_of(notification.device.device))) + what;
  };
  switch (notification.kind) {
  case Notification::Kind::connected:
    return of_kind("_connected");
  case Notification::Kind::disconnected:
    return of_kind("_disconnected");
  case Notification::Kind::attached:
    return of_kind("_attached");
  case Notification::Kind::detached:
    return of_kind("_detached");
  case Notification::Kind::select_vm:
    return of_kind("_select_vm");
  case Notification::Kind::degraded:
    return "device_degraded";
  case Notification::Kind::vm_state:
    return "vm_state";
  }
  return {};
}

std::vector<Notification> difference(const DeviceState* before, const DeviceState* after) {
  using Kind = Notification::Kind;
  std::vector<Notification> notifications;
  const auto tell = [&](Kind kind, const DeviceState& state, const std::string& vm = {}, const std::string& text = {}) {
    notifications.push_back({kind, state, vm, text, 0, qemuctl::State::unknown});
  };
  const std::optional<std::string> nowhere;
  const std::optional<std::string>& from = before ? before->vm : nowhere;
  const std::optional<std::string>& to = after ? after->vm : nowhere;

  if (!before && after) tell(Kind::connected, *after);
  if (from && from != to) tell(Kind::detached, after ? *after : *before, *from);
  if (before && !after) tell(Kind::disconnected, *before);
  if (to && from != to) tell(Kind::attached, *after, *to);
  if (after && after->select && !(before && before->select)) tell(Kind::select_vm, *after);
  if (after && !after->degraded.empty() && !(before && before->degraded == after->degraded))
    tell(Kind::degraded, *after, {}, after->degraded);
  return notifications;
}

} // namespace hotplug
