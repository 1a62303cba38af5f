// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "vm_devices.hpp"

#include "qom.hpp"
#include "vm_input.hpp"
#include "vm_pci.hpp"

#include <qemuctl/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

namespace hotplug::detail {

using qemuctl::Diagnostics;
using qemuctl::errc;
using qemuctl::Error;
using qemuctl::Instance;

namespace {

[[noreturn]] void not_deleted(const Instance& vm, const std::string& id) {
  Diagnostics diagnostics;
  diagnostics.operation = "detach a device";
  diagnostics.subject = "VM " + vm.name();
  diagnostics.command = "device_del";
  diagnostics.detail = fmt::format("QEMU has not deleted {} in time", id);
  throw Error(errc::timed_out, std::move(diagnostics));
}

} // namespace

asio::awaitable<VmDevices> look_at_devices(Instance& vm) {
  VmDevices has;
  std::map<std::string, UsbPort> ports;
  for (const char* place : {"/machine/peripheral", "/machine/peripheral-anon", "/machine/unattached"}) {
    const std::string folder = place;
    const std::vector<QomChild> children = co_await qom_children(vm, folder);
    for (const QomChild& child : children) {
      const std::string path = folder + "/" + child.name;
      std::string id = folder == "/machine/peripheral" ? child.name : path;
      if (child.type == "usb-host") {
        Qdev found = co_await look_at_usb_device(vm, path, std::move(id));
        if (found.ours) {
          const std::optional<UsbPort> port = co_await look_at_usb_port(vm, path);
          if (port) ports.emplace(found.id, *port);
        }
        has.devices.push_back(std::move(found));
      } else if (child.type == "virtio-input-host-pci") {
        Qdev found = co_await look_at_input_device(vm, path, std::move(id));
        has.devices.push_back(std::move(found));
      } else if (child.type == "vfio-pci" || child.type == "vfio-pci-nohotplug") {
        Qdev found = co_await look_at_pci_device(vm, path, std::move(id));
        has.devices.push_back(std::move(found));
      } else {
        const std::optional<UsbController> controller = co_await look_at_usb_controller(vm, path, child.type);
        if (controller) has.usb.controllers.push_back(*controller);
      }
    }
  }
  for (const auto& [id, port] : ports) has.usb.take(id, port);
  co_return has;
}

asio::awaitable<void> attach_device(Instance& vm, VmDevices& has, AttachRequest request) {
  Qdev made;
  made.id = request.id;
  made.host = host_key(request.device);
  made.kind = kind_of(request.device);
  made.ours = made.attached = true;
  if (auto* usb = std::get_if<UsbDevice>(&request.device)) {
    UsbAttachRequest how;
    how.device = std::move(*usb);
    how.id = std::move(request.id);
    how.pass_descriptor = request.pass_descriptor;
    how.guest_reset = request.guest_reset;
    how.guest_resets_all = request.guest_resets_all;
    co_await attach_usb(vm, has.usb, std::move(how));
  } else if (auto* input = std::get_if<InputDevice>(&request.device)) {
    co_await attach_input(vm, std::move(*input), std::move(request.id), std::move(request.port_prefix),
                          request.timeout);
  } else {
    co_await attach_pci(vm, sys_name_of(request.device), std::move(request.id), std::move(request.rom_file));
  }
  has.devices.push_back(std::move(made));
}

asio::awaitable<void> detach_device(Instance& vm, VmDevices& has, Qdev device, std::chrono::milliseconds timeout) {
  if (device.needs_guest()) {
    const bool asked = co_await ask_to_delete_qdev(vm, device.id);
    if (asked) co_return;
  } else {
    const bool deleted = co_await delete_qdev(vm, device.id, timeout);
    if (!deleted) not_deleted(vm, device.id);
  }
  std::erase_if(has.devices, [&](const Qdev& each) { return each.id == device.id; });
  has.usb.release(device.id);
}

} // namespace hotplug::detail
