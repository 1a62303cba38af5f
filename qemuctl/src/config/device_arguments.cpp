// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "command_line_parts.hpp"

#include <fmt/format.h>

#include <utility>

namespace qemuctl::detail {

namespace {

void add_usb_device(CommandLineParts& parts, const std::string& path, Json device) {
  parts.plug_into_usb(device);
  parts.device(path, std::move(device));
}

void add_host_device(CommandLineParts& parts, const std::string& path, const std::string& id,
                     const UsbHostDevice& usb) {
  Json device = Json::object({{"driver", "usb-host"}, {"id", id}});
  if (usb.vendor_id >= 0) device.set("vendorid", usb.vendor_id);
  if (usb.product_id >= 0) device.set("productid", usb.product_id);
  if (usb.bus > 0) device.set("hostbus", usb.bus);
  if (usb.address > 0) device.set("hostaddr", usb.address);
  if (!usb.port.empty()) device.set("hostport", usb.port);
  add_usb_device(parts, path + ".type", std::move(device));
}

void add_host_device(CommandLineParts& parts, const std::string& path, const std::string& id,
                     const PciHostDevice& pci) {
  Json device = Json::object({{"driver", "vfio-pci"}, {"id", id}, {"host", pci.address}});
  if (!pci.rom_file.empty()) device.set("romfile", pci.rom_file);
  parts.device(path + ".type", std::move(device));
}

} // namespace

void add_usb(CommandLineParts& parts) {
  const VmConfig& config = parts.config;
  // Before everything that is plugged into it; the first port is taken when something is.
  if (config.usb || config.hotplug) parts.add_usb_controller();
  if (config.usb_tablet)
    add_usb_device(parts, "usbTablet", Json::object({{"driver", "usb-tablet"}, {"id", usb_tablet_id}}));
  for (std::size_t i = 0; i < config.usb_devices.size(); ++i) {
    const UsbDeviceConfig& usb = config.usb_devices[i];
    Json device = Json::object({{"driver", usb.type}, {"id", usb_device_id(i)}});
    if (!usb.chardev.empty()) device.set("chardev", usb.chardev);
    add_usb_device(parts, fmt::format("usbDevices[{}].type", i), std::move(device));
  }
}

void add_host_devices(CommandLineParts& parts) {
  for (std::size_t i = 0; i < parts.config.host_devices.size(); ++i)
    std::visit(
        [&](const auto& device) {
          add_host_device(parts, fmt::format("hostDevices[{}]", i), host_device_id(i), device);
        },
        parts.config.host_devices[i]);
}

void add_secrets(CommandLineParts& parts) {
  const auto add = [&](const std::string& path, const std::string& id, const std::string& file,
                       const std::string& format) {
    Json secret = Json::object({{"qom-type", "secret"}, {"id", id}});
    const int fd = parts.descriptor(path);
    // Opened anew by this name, so that reading it leaves nothing behind for who inherits the descriptor.
    secret.set("file", fd >= 0 ? fmt::format("/proc/self/fd/{}", fd) : file);
    if (!format.empty()) secret.set("format", format);
    parts.object(path, std::move(secret));
  };
  for (std::size_t i = 0; i < parts.config.secrets.size(); ++i) {
    const SecretConfig& secret = parts.config.secrets[i];
    const std::string path = fmt::format("secrets[{}]", i);
    add(path, secret.id, secret.file.empty() ? fmt::format("<{}.data>", path) : secret.file, secret.format);
  }
  const DisplayConfig& display = parts.config.display;
  if (display.vnc && !display.vnc->password.empty())
    add("display.vnc.password", std::string(vnc_password_id), "<display.vnc.password>", {});
  if (display.spice && !display.spice->password.empty())
    add("display.spice.password", std::string(spice_password_id), "<display.spice.password>", {});
}

} // namespace qemuctl::detail
