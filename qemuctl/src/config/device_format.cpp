// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "formats.hpp"

#include <optional>
#include <utility>
#include <vector>

namespace qemuctl::detail {

Format<UsbControllerConfig> usb_controller_format() {
  using T = UsbControllerConfig;
  return short_or_object<T>(text("a USB controller"), &T::type,
                            object<T>({key<T>("type", &T::type, text(), "QEMU's device. Default: `qemu-xhci`")}));
}

Format<UsbDeviceConfig> usb_device_format() {
  using T = UsbDeviceConfig;
  return short_or_object<T>(
      text("a USB device"), &T::type,
      object<T>({
          required(key<T>("type", &T::type, text(),
                          "QEMU's device: `usb-tablet`, `usb-mouse`, `usb-kbd`, `usb-redir`, `usb-serial`, ...")),
          key<T>("chardev", &T::chardev, text(), "The id of a character device, for `usb-redir` and `usb-serial`"),
      }));
}

Format<HostDevice> host_device_format() {
  using Usb = UsbHostDevice;
  auto usb = object<Usb>({
      kind_key<Usb>("type", "usb", "A USB device of the host"),
      key<Usb>("vendorId", &Usb::vendor_id, hexadecimal_16(), "What it is: `\"046d\"`"),
      key<Usb>("productId", &Usb::product_id, hexadecimal_16(), "What it is: `\"c52b\"`"),
      key<Usb>("bus", &Usb::bus, whole_number(1, 255), "Where it is, with `address` or `port`"),
      key<Usb>("address", &Usb::address, whole_number(1, 127), "The device that has it now"),
      key<Usb>("port", &Usb::port, text(), "Whatever is plugged in there, now or later: `\"1.2\"`"),
  });
  using Pci = PciHostDevice;
  auto pci = object<Pci>({
      kind_key<Pci>("type", "pci", "A PCI device of the host, which is bound to vfio-pci already"),
      required(key<Pci>("address", &Pci::address, text(), "`\"0000:01:00.0\"`")),
      key<Pci>("romFile", &Pci::rom_file, file_path(), "The option ROM the guest sees. Default: the device's own"),
  });
  return one_of_kinds<HostDevice>(
      "type", {{"usb", as_kind<HostDevice>(std::move(usb))}, {"pci", as_kind<HostDevice>(std::move(pci))}});
}

namespace {

/// A list of rules, which the hotplug library reads.
Key<HotplugConfig> rules_key(const char* name, const char* description) {
  const auto recognise = [](const Json& json) { return json.is_object(); };
  const auto read = [](const Json& json, const std::string& path, ReadContext& context) -> std::optional<Json> {
    if (json.is_object()) return json;
    context.problems.add(path, describe(json), "a rule");
    return std::nullopt;
  };
  const Format<Json> rule{"a rule", recognise, read, Json::object({{"type", "object"}})};
  return key<HotplugConfig>(
      name,
      [name](HotplugConfig& config, std::vector<Json> rules) { config.rules.set(name, Json::array(std::move(rules))); },
      list_of(rule), description);
}

} // namespace

Format<HotplugConfig> hotplug_format() {
  using T = HotplugConfig;
  return object<T>({
      rules_key("usbPassthrough", "Rules for the USB devices of the host, as in the hotplug configuration; "
                                  "`targetVm` may be left out"),
      rules_key("pciPassthrough", "Rules for PCI devices, likewise"),
      rules_key("evdevPassthrough", "Rules for input devices, likewise"),
      rules_key("acpiPassthrough", "ACPI tables, likewise"),
      key<T>("rulesFile", &T::rules_file, file_path(), "A file with such rules, instead of rules here"),
      key<T>("atStart", &T::at_start, boolean(),
             "PCI and input devices that are there belong to the VM from its start on. Default: false"),
      key<T>("pciePorts", &T::pcie_ports, whole_number(0, max_hotplug_ports),
             "Empty PCI Express root ports. Default: 4 on q35 and virt, and none where none are needed"),
  });
}

Format<SecretConfig> secret_format() {
  using T = SecretConfig;
  return object<T>({
      required(key<T>("id", &T::id, text(), "What others refer to it by")),
      key<T>("data", &T::data, text(), "The secret itself; this or `file`"),
      instead_of({"data"}, key<T>("file", &T::file, file_path(), "A file that has it")),
      key<T>("format", &T::format, word(secret_format_words()), "How it is written. Default: `raw`"),
  });
}

} // namespace qemuctl::detail
