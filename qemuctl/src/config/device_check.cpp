// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "check.hpp"
#include "ids.hpp"

#include <algorithm>
#include <array>
#include <map>

namespace qemuctl::detail {

namespace {

/// "1.2": the ports from the root hub on, as sysfs calls them.
bool is_usb_port(std::string_view text) {
  while (true) {
    const std::size_t dot = text.find('.');
    if (!parse_number(text.substr(0, dot), 255)) return false;
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

/// [DDDD:]BB:DD.F
bool is_pci_address(std::string_view text) {
  const auto matches = [&](std::string_view pattern) {
    return text.size() == pattern.size() &&
           std::equal(text.begin(), text.end(), pattern.begin(), [](char c, char kind) {
             if (kind == 'x') return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
             if (kind == '7') return c >= '0' && c <= '7';
             return c == kind;
           });
  };
  return matches("xxxx:xx:xx.7") || matches("xx:xx.7");
}

void check_host_device(Check& check, const std::string& path, const UsbHostDevice& usb) {
  check.range(path + ".vendorId", usb.vendor_id, -1, 0xffff);
  check.range(path + ".productId", usb.product_id, -1, 0xffff);
  check.range(path + ".bus", usb.bus, 0, 255);
  check.range(path + ".address", usb.address, 0, 127);
  if (!usb.port.empty() && !is_usb_port(usb.port))
    check.problems.add(path + ".port", in_quotes(usb.port), "ports from the root hub on, such as \"1\" or \"1.2\"");
  const bool place = usb.address > 0 || !usb.port.empty();
  check.no_effect(path + ".bus", usb.bus > 0 && !place, "without address or port");
  if (usb.bus == 0 && place) check.problems.add(path + ".bus", "nothing", "the bus of that address or port");
  if (usb.vendor_id < 0 && usb.product_id >= 0)
    check.problems.add(path + ".vendorId", "nothing", "the vendor of that product");
  // QEMU takes the first device it can have when nothing is said.
  if (usb.vendor_id < 0 && !place)
    check.problems.add(path, "no device", "vendorId and productId, or bus and port, or bus and address");
  check.no_effect(path + ".address", usb.address > 0 && !usb.port.empty(), "together with port; leave one of them out");
}

void check_host_device(Check& check, const std::string& path, const PciHostDevice& pci) {
  if (!is_pci_address(pci.address))
    check.problems.add(path + ".address", in_quotes(pci.address), "a PCI address, such as \"0000:01:00.0\"");
  check.text(path + ".romFile", pci.rom_file);
}

void check_usb(Check& check) {
  const VmConfig& config = check.config;
  const std::string controller = config.usb.value_or(UsbControllerConfig()).type;
  check.needed("usb.type", controller, "a USB controller, such as \"qemu-xhci\"");
  constexpr std::array<std::string_view, 2> with_chardev{"usb-redir", "usb-serial"};
  for (std::size_t i = 0; i < config.usb_devices.size(); ++i) {
    const std::string path = fmt::format("usbDevices[{}]", i);
    const UsbDeviceConfig& device = config.usb_devices[i];
    check.needed(path + ".type", device.type, "a USB device, such as \"usb-tablet\"");
    check.known_id(path + ".chardev", device.chardev, "character device", chardev_ids(config));
    const bool wants_one = std::find(with_chardev.begin(), with_chardev.end(), device.type) != with_chardev.end();
    if (wants_one && device.chardev.empty())
      check.problems.add(path + ".chardev", "nothing",
                         fmt::format("the id of a character device, as {} needs one", device.type));
  }
  std::size_t wanted = config.usb_devices.size() + config.usb_tablet;
  for (const HostDevice& device : config.host_devices) wanted += std::holds_alternative<UsbHostDevice>(device);
  for (const SerialConfig& serial : config.serials) wanted += serial.device == "usb-serial";
  wanted += config.audio && config.audio->device == "usb-audio";
  const std::size_t ports = usb_port_count(controller);
  if (ports > 0 && wanted > ports)
    check.problems.add("usbDevices", fmt::format("{} USB devices", wanted),
                       fmt::format("at most {}, the ports of {}", ports, in_quotes(controller)));
}

void check_secrets(Check& check) {
  std::map<std::string, std::string> ids;
  for (const auto id : {vnc_password_id, spice_password_id}) ids.emplace(id, "a password of the display");
  ids.emplace(memory_id, "the memory");
  for (std::size_t i = 0; i < check.config.secrets.size(); ++i) {
    const SecretConfig& secret = check.config.secrets[i];
    const std::string path = fmt::format("secrets[{}]", i);
    if (check.needed(path + ".id", secret.id, "what others refer to it by")) check.id(path + ".id", secret.id);
    check.own_id(ids, path, secret.id);
    check.text(path + ".file", secret.file);
    check.word(path + ".format", secret.format, secret_format_words(), true);
    // Never with the secret itself in the message.
    if (secret.data.empty() == secret.file.empty())
      check.problems.add(path, secret.data.empty() ? "neither data nor file" : "data and file", "one of the two");
  }
}

} // namespace

void check_devices(Check& check) {
  const VmConfig& config = check.config;
  check_usb(check);
  for (std::size_t i = 0; i < config.host_devices.size(); ++i)
    std::visit([&](const auto& device) { check_host_device(check, fmt::format("hostDevices[{}]", i), device); },
               config.host_devices[i]);
  if (config.hotplug) check.range("hotplug.pciePorts", config.hotplug->pcie_ports, -1, max_hotplug_ports);
  check_secrets(check);
}

} // namespace qemuctl::detail
