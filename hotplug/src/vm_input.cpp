// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "vm_input.hpp"

#include "claims.hpp"
#include "pci_port.hpp"
#include "qom.hpp"

#include <qemuctl/error.hpp>

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <filesystem>
#include <utility>
#include <vector>

namespace hotplug::detail {

using qemuctl::Diagnostics;
using qemuctl::errc;
using qemuctl::Error;
using qemuctl::Instance;
using qemuctl::Json;

namespace {

constexpr std::string_view prefix = "evdevhost-";

/// The device that a node refers to now; nullopt: it is gone.
std::optional<HostKey> key_of_node(const std::string& node) {
  struct stat info {};
  if (::stat(node.c_str(), &info) != 0 || !S_ISCHR(info.st_mode)) return std::nullopt;
  std::error_code ec;
  const std::filesystem::path path =
      std::filesystem::canonical(fmt::format("/sys/dev/char/{}:{}", ::major(info.st_rdev), ::minor(info.st_rdev)), ec);
  InputRecord record;
  record.sys_path = path.string();
  record.device_node = node;
  const std::optional<InputDevice> device = ec ? std::nullopt : make_input_device(record);
  return device ? std::optional(input_key(device->input, device->event)) : std::nullopt;
}

/// The process that has grabbed it, as far as that can be determined.
std::string holder_of_node(const Instance& vm, const std::string& node) {
  std::string others;
  bool is_ours = false;
  for (const DeviceUser& user : users_of(node)) {
    is_ours = is_ours || user.pid == vm.pid();
    if (user.pid != vm.pid()) others += fmt::format("{}{} ({})", others.empty() ? "" : ", ", user.pid, user.command);
  }
  // With another front end; with this one it would be among the VM's devices.
  if (is_ours && others.empty())
    return fmt::format("QEMU has {} already, for something else, such as -object input-linux", node);
  return fmt::format("another program has {} for itself ({}{})", node,
                     others.empty() ? "no process that can be seen has it open" : "open in process ", others);
}

/// QEMU's message, and what it does not say.
Error explained(const Instance& vm, const InputDevice& device, const Error& error) {
  Diagnostics diagnostics = error.diagnostics();
  const std::string& text = diagnostics.server_text;
  if (text.find("Device or resource busy") != std::string::npos) {
    diagnostics.detail = holder_of_node(vm, device.device_node);
    diagnostics.advice = "End that program, or have it let go of the device.";
  } else if (text.find("Permission denied") != std::string::npos) {
    diagnostics.advice = fmt::format("QEMU opens the device itself: its user needs to read and write {}, as members of "
                                     "its group may.",
                                     device.device_node);
  }
  return Error(error.code(), std::move(diagnostics));
}

} // namespace

HostKey input_key(int input, int event) {
  return {DeviceKind::input, fmt::format("{}/{}", input, event)};
}

std::string make_input_qdev_id(int input, int event, std::uint32_t unique) {
  return fmt::format("{}{}-{}-{:08x}", prefix, input, event, unique);
}

std::optional<HostKey> input_key_in(std::string_view qdev_id) {
  if (!qdev_id.starts_with(prefix)) return std::nullopt;
  qdev_id.remove_prefix(prefix.size());
  const std::optional<int> input = take_number(qdev_id);
  const std::optional<int> event = input ? take_number(qdev_id) : std::nullopt;
  if (!event || !is_unique_end(qdev_id)) return std::nullopt;
  return input_key(*input, *event);
}

asio::awaitable<Qdev> look_at_input_device(Instance& vm, std::string path, std::string id) {
  Qdev device;
  device.kind = DeviceKind::input;
  device.id = std::move(id);
  device.host = input_key_in(device.id);
  device.ours = device.host.has_value();
  device.attached = true; // QEMU grabs it before the command succeeds
  if (!device.ours) {
    const std::string node = co_await qom_text(vm, std::move(path), "evdev");
    device.host = key_of_node(node);
  }
  co_return device;
}

asio::awaitable<void> attach_input(Instance& vm, InputDevice device, std::string id, std::string port_prefix,
                                   std::chrono::milliseconds timeout) {
  Json properties;
  properties.set("driver", "virtio-input-host-pci");
  properties.set("id", std::move(id));
  properties.set("evdev", device.device_node);
  try {
    co_await add_to_pci_port(vm, std::move(properties), std::move(port_prefix), timeout);
  } catch (const Error& error) {
    throw explained(vm, device, error);
  }
}

} // namespace hotplug::detail
