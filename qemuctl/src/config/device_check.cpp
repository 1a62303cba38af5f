// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "check.hpp"
#include "ids.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <vector>

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

/// The domain is 0 when it is left out, and letters have no case.
std::string full_address(const PciHostDevice& pci) {
  std::string address = pci.address.size() == 7 ? "0000:" + pci.address : pci.address;
  for (char& c : address)
    if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
  return address;
}

bool is_same(const HostDevice& a, const HostDevice& b) {
  const auto *pci = std::get_if<PciHostDevice>(&a), *other = std::get_if<PciHostDevice>(&b);
  return pci && other ? full_address(*pci) == full_address(*other) : a == b;
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

/// What QEMU calls a USB device and what has to be described elsewhere; nullptr: nowhere else.
const char* place_elsewhere(std::string_view type) {
  // Without properties QEMU gives the guest the first device of the host that it finds.
  if (type == "usb-host") return "hostDevices";
  if (type == "usb-net") return "networks, as the model of one";
  if (type == "usb-storage") return "disks, of another interface";
  if (type == "usb-audio") return "audio, as its device";
  if (type == "usb-hub") return "nothing, as an xHCI controller has ports enough";
  return nullptr;
}

void check_usb_device(Check& check, const std::string& path, const UsbDeviceConfig& device) {
  check.needed(path + ".type", device.type, "a USB device, such as \"usb-tablet\"");
  if (const char* elsewhere = place_elsewhere(device.type))
    check.problems.add(path + ".type", in_quotes(device.type), elsewhere);
  check.known_id(path + ".chardev", device.chardev, "character device", chardev_ids(check.config));
  constexpr std::array<std::string_view, 3> with_chardev{"usb-redir", "usb-serial", "usb-braille"};
  const bool wants_one = std::find(with_chardev.begin(), with_chardev.end(), device.type) != with_chardev.end();
  if (wants_one && device.chardev.empty())
    check.problems.add(path + ".chardev", "nothing",
                       fmt::format("the id of a character device, as {} needs one", device.type));
  check.no_effect(path + ".chardev", !wants_one && !device.chardev.empty(), "for " + in_quotes(device.type));
}

void check_usb(Check& check) {
  const VmConfig& config = check.config;
  const std::string controller = config.usb.value_or(UsbControllerConfig()).type;
  if (check.needed("usb.type", controller, "a USB controller, such as \"qemu-xhci\"") &&
      controller.find("hci") == std::string::npos)
    check.problems.add("usb.type", in_quotes(controller),
                       "a USB controller, such as \"qemu-xhci\", \"usb-ehci\" or \"piix3-usb-uhci\"");
  for (std::size_t i = 0; i < config.usb_devices.size(); ++i)
    check_usb_device(check, fmt::format("usbDevices[{}]", i), config.usb_devices[i]);
  std::size_t wanted = config.usb_devices.size() + config.usb_tablet;
  for (const HostDevice& device : config.host_devices) wanted += std::holds_alternative<UsbHostDevice>(device);
  for (const SerialConfig& serial : config.serials) wanted += serial.device == "usb-serial";
  for (const NetworkConfig& network : config.networks) wanted += network.model.starts_with("usb-");
  wanted += config.audio && config.audio->device == "usb-audio";
  const std::size_t ports = usb_port_count(controller);
  if (ports > 0 && wanted > ports)
    check.problems.add("usbDevices", fmt::format("{} USB devices", wanted),
                       fmt::format("at most {}, the ports of {}", ports, in_quotes(controller)));
}

/// No device of the host is in a VM twice; QEMU takes some and fails with others.
void check_same_host_devices(Check& check) {
  const std::vector<HostDevice>& devices = check.config.host_devices;
  for (std::size_t i = 0; i < devices.size(); ++i)
    for (std::size_t other = 0; other < i; ++other)
      if (is_same(devices[i], devices[other])) {
        check.problems.add(fmt::format("hostDevices[{}]", i), fmt::format("the device of hostDevices[{}]", other),
                           "another one: two of a kind are told apart by bus and port");
        break;
      }
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
  check_same_host_devices(check);
  if (config.hotplug && !config.hotplug->rules_file.empty() && !config.hotplug->rules.is_null())
    check.problems.add("hotplug.rulesFile", "there are rules in the same place, too", "one of them");
  if (config.hotplug) check.range("hotplug.pciePorts", config.hotplug->pcie_ports, -1, max_hotplug_ports);
  check_secrets(check);
}

} // namespace qemuctl::detail
