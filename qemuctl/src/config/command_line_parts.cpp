// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "command_line_parts.hpp"

#include "../nearest_word.hpp"
#include "pci_layout.hpp"
#include "words.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace qemuctl::detail {

namespace {

/// QEMU's limit for the names of block nodes (sizeof BlockDriverState::node_name, with its NUL).
constexpr std::size_t max_node_name = 31;

constexpr int default_hotplug_ports = 4;

/// The version of QEMU that brought a device which the oldest supported one does not have; empty: not known.
std::string_view since_version(std::string_view device) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 4> devices{{
      {"igb", "8.0"},
      {"virtio-sound-pci", "8.2"},
      {"ufs", "8.2"},
      {"virtio-gpu-rutabaga-pci", "8.2"},
  }};
  for (const auto& [name, version] : devices)
    if (name == device) return version;
  return {};
}

} // namespace

std::string on_off(bool value) {
  return value ? "on" : "off";
}

CommandLineParts::CommandLineParts(const VmConfig& vm, const QemuInfo& binary, const CommandLineContext& decided)
    : config(vm), qemu(binary), context(decided), machine(guest_machine(vm, binary)), ids(device_ids(vm)) {
  argv_.push_back(binary.path.string());
}

void CommandLineParts::option(std::string name) {
  argv_.push_back(std::move(name));
}

void CommandLineParts::option(std::string name, std::string value) {
  argv_.push_back(std::move(name));
  argv_.push_back(std::move(value));
}

void CommandLineParts::object(const std::string& path, Json properties) {
  const std::string& type = properties.at("qom-type").as_string();
  // Without a list nothing is known, and QEMU itself will tell.
  if (!qemu.objects.empty() && !qemu.has_object(type)) missing_in_qemu(path, "object " + in_quotes(type));
  option("-object", properties.dump());
}

void CommandLineParts::blockdev(const Json& node) {
  option("-blockdev", node.dump());
}

void CommandLineParts::netdev(const Json& backend) {
  option("-netdev", backend.dump());
}

void CommandLineParts::chardev(std::string options) {
  option("-chardev", std::move(options));
}

void CommandLineParts::device(const std::string& path, Json properties) {
  const std::string& driver = properties.at("driver").as_string();
  if (!qemu.devices.empty() && !qemu.has_device(driver)) {
    const std::string_view since = since_version(driver);
    const std::string near = since.empty() ? nearest_word(driver, qemu.devices) : std::string();
    missing_in_qemu(path,
                    fmt::format("device {}{}", in_quotes(driver),
                                near.empty() ? "" : fmt::format("; did you mean {}?", in_quotes(near))),
                    since);
  }
  if (machine.is_microvm() && is_pci_device(driver))
    invalid(path, fmt::format("{} is a PCI device, and the machine {} has no PCI bus", in_quotes(driver),
                              in_quotes(machine.type)));
  const bool placed = !properties.contains("bus") && is_pci_device(driver) && machine.pci();
  devices_.push_back({argv_.size() + 1, properties, placed});
  option("-device", properties.dump());
}

bool CommandLineParts::is_pci_device(std::string_view driver) const {
  if (!qemu.pci_devices.empty()) return std::binary_search(qemu.pci_devices.begin(), qemu.pci_devices.end(), driver);
  constexpr std::array<std::string_view, 18> others{
      "AC97",   "VGA",       "ahci",      "bochs-display", "cirrus-vga",   "e1000",
      "e1000e", "ich9-ahci", "intel-hda", "qemu-xhci",     "nec-usb-xhci", "ich9-intel-hda",
      "nvme",   "qxl-vga",   "rtl8139",   "usb-ehci",      "virtio-vga",   "vmxnet3"};
  return driver.ends_with("-pci") || std::find(others.begin(), others.end(), driver) != others.end();
}

std::string CommandLineParts::node_name(const std::string& id, std::size_t index,
                                        const std::vector<std::string>& suffixes) {
  std::size_t longest_suffix = 0;
  for (const std::string& suffix : suffixes) longest_suffix = std::max(longest_suffix, suffix.size());
  const std::size_t longest = max_node_name - longest_suffix;
  const auto take = [&](const std::string& name) {
    std::set<std::string> names{name};
    for (const std::string& suffix : suffixes) names.insert(name + suffix);
    const bool taken =
        std::any_of(names.begin(), names.end(), [&](const auto& one) { return node_names_.contains(one); });
    if (name.size() > longest || taken) return false;
    node_names_.merge(names);
    return true;
  };
  std::string name = id;
  for (std::size_t number = index; !take(name); ++number) {
    const std::string suffix = fmt::format("-{}", number);
    name = id.substr(0, longest - suffix.size()) + suffix;
  }
  return name;
}

std::vector<int> CommandLineParts::descriptors(std::string_view path) const {
  const auto found = context.descriptors.find(path);
  return found == context.descriptors.end() ? std::vector<int>() : found->second;
}

int CommandLineParts::descriptor(std::string_view path) const {
  const std::vector<int> all = descriptors(path);
  return all.empty() ? -1 : all.front();
}

void CommandLineParts::add_usb_controller() {
  if (std::exchange(usb_controller_added_, true)) return;
  const std::string controller = config.usb.value_or(UsbControllerConfig()).type;
  Json properties = Json::object({{"driver", controller}, {"id", usb_controller_id}});
  if (controller.ends_with("-xhci")) {
    properties.set("p2", usb_port_count(controller));
    properties.set("p3", usb_port_count(controller));
  }
  device("usb.type", std::move(properties));
}

void CommandLineParts::plug_into_usb(Json& device) {
  add_usb_controller();
  device.set("bus", fmt::format("{}.0", usb_controller_id));
  // Left to itself QEMU puts a 12 Mb/s hub into the last free port and everything else behind it.
  if (usb_port_count(config.usb.value_or(UsbControllerConfig()).type) > 0)
    device.set("port", std::to_string(++usb_ports_used_));
}

std::string CommandLineParts::virtio_serial_bus() {
  if (!std::exchange(virtio_serial_added_, true)) {
    Json properties = Json::object({{"driver", "virtio-serial" + machine.virtio_suffix()}, {"id", virtio_serial_id}});
    if (config.virtio_serial && config.virtio_serial->max_ports > 0)
      properties.set("max_ports", config.virtio_serial->max_ports);
    device("virtioSerial", std::move(properties));
  }
  return fmt::format("{}.0", virtio_serial_id);
}

std::string CommandLineParts::scsi_bus() {
  if (!std::exchange(scsi_added_, true))
    device("disks", Json::object({{"driver", "virtio-scsi" + machine.virtio_suffix()}, {"id", scsi_controller_id}}));
  return fmt::format("{}.0", scsi_controller_id);
}

void CommandLineParts::invalid(std::string path, std::string text) {
  invalid_.add(std::move(path), std::move(text));
}

void CommandLineParts::invalid(std::string path, std::string_view found, std::string_view expected) {
  invalid_.add(std::move(path), found, expected);
}

void CommandLineParts::missing(std::string path, std::string text) {
  missing_.add(std::move(path), std::move(text));
}

void CommandLineParts::missing_in_qemu(std::string path, std::string_view what, std::string_view since) {
  missing(std::move(path),
          fmt::format("this QEMU ({}, version {}) has no {}{}", qemu.path.string(), to_string(qemu.version), what,
                      since.empty() ? "" : fmt::format(", which came with QEMU {}", since)));
}

void CommandLineParts::place_pci_devices() {
  const std::optional<PciRoot> root = machine.pci();
  std::size_t ports = 0;
  if (config.hotplug) {
    const int wanted = config.hotplug->pcie_ports;
    const bool possible = root && root->express;
    if (wanted > 0 && !possible)
      invalid("hotplug.pciePorts", fmt::format("{} root ports", wanted),
              fmt::format("0, as the machine {} has no PCI Express", in_quotes(machine.type)));
    else if (possible)
      ports = static_cast<std::size_t>(wanted < 0 ? default_hotplug_ports : wanted);
  }
  if (!root) return;
  std::vector<PciNeed> needs;
  for (const Device& device : devices_)
    if (device.placed)
      needs.push_back(device.properties.at("driver") == Json("vfio-pci") ? PciNeed::root_port : PciNeed::anything);
  const std::optional<PciLayout> layout = lay_out_pci(*root, needs, ports);
  if (!layout) {
    invalid("", fmt::format("{} PCI devices and {} ports for hot plugging are more than the machine {} has room for",
                            needs.size(), ports, in_quotes(machine.type)));
    return;
  }
  auto place = layout->devices.begin();
  std::size_t first_device = argv_.size();
  for (Device& device : devices_) {
    first_device = std::min(first_device, device.argument - 1);
    if (!device.placed) continue;
    device.properties.set("bus", place->bus);
    device.properties.set("addr", place->addr);
    argv_[device.argument] = device.properties.dump();
    ++place;
  }
  // What a device is plugged into is made before it.
  std::vector<std::string> bridges;
  for (const Json& bridge : layout->bridges) {
    bridges.push_back("-device");
    bridges.push_back(bridge.dump());
  }
  argv_.insert(argv_.begin() + static_cast<std::ptrdiff_t>(first_device), bridges.begin(), bridges.end());
}

std::vector<std::string> CommandLineParts::finish(Problems& invalid, Problems& missing) {
  place_pci_devices();
  argv_.insert(argv_.end(), config.extra_args.begin(), config.extra_args.end());
  invalid.append(invalid_);
  missing.append(missing_);
  return std::move(argv_);
}

} // namespace qemuctl::detail
