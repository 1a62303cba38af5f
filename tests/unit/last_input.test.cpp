// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "last_input.hpp"

#include "catch.hpp"

#include <string>
#include <utility>
#include <vector>

using namespace hotplug;
using Catch::Matchers::ContainsSubstring;

namespace {

UsbDevice usb(const std::string& name, std::vector<UsbClass> interfaces) {
  UsbDevice device;
  device.sys_name = device.product_name = name;
  device.interfaces = std::move(interfaces);
  return device;
}

InputDevice input(const std::string& name, const std::string& property) {
  InputDevice device;
  device.sys_name = device.name = name;
  device.properties[property] = "1";
  return device;
}

/// What is called so goes to a VM.
Rules rules_for(const std::string& product, const std::string& name) {
  Config config;
  UsbMatch of_usb;
  of_usb.product_name = product;
  config.usb_rules.resize(1);
  config.usb_rules[0].vms.emplace_back("gui");
  config.usb_rules[0].allow.push_back(of_usb);
  InputMatch of_input;
  of_input.name = name;
  config.input_rules.resize(1);
  config.input_rules[0].vms.emplace_back("gui");
  config.input_rules[0].allow.push_back(of_input);
  return Rules(config);
}

} // namespace

TEST_CASE("rules that take the last keyboard or the last pointer of the host are told of") {
  const std::vector<Device> devices{usb("Receiver", {{3, 1, 1}, {3, 1, 2}}), input("AT keyboard", "ID_INPUT_KEYBOARD"),
                                    input("Touchpad", "ID_INPUT_TOUCHPAD"), input("Power Button", "ID_INPUT_KEY")};
  CHECK(detail::last_input_warnings(devices, rules_for("Receiver", "nothing")).empty());
  const std::vector<std::string> keyboard = detail::last_input_warnings(devices, rules_for("Receiver", "AT"));
  REQUIRE(keyboard.size() == 1);
  CHECK_THAT(keyboard[0], ContainsSubstring("no keyboard") && ContainsSubstring("Receiver") &&
                              ContainsSubstring("AT keyboard") && ContainsSubstring("(to gui)"));
  CHECK(detail::last_input_warnings(devices, rules_for("Receiver", "AT|Touch")).size() == 2);
}

TEST_CASE("who takes a USB controller takes the keyboard behind it") {
  UsbDevice keyboard = usb("Keyboard", {{3, 1, 1}});
  keyboard.sys_path = "/sys/devices/pci0000:00/0000:00:14.0/usb1/1-1";
  PciDevice controller, other;
  controller.sys_name = "0000:00:14.0";
  controller.sys_path = "/sys/devices/pci0000:00/0000:00:14.0";
  other.sys_name = "0000:00:14.3";
  other.sys_path = "/sys/devices/pci0000:00/0000:00:14.3";
  controller.iommu_group = other.iommu_group = 5;
  Config config;
  config.pci_rules.resize(1);
  config.pci_rules[0].vms = {"gui"};
  config.pci_rules[0].allow.emplace_back().address = other.sys_name;
  const std::vector<Device> devices{keyboard, controller, other};
  CHECK(detail::last_input_warnings(devices, Rules(config)).empty());
  config.pci_rules[0].iommu_add_all = true;
  const std::vector<std::string> warnings = detail::last_input_warnings(devices, Rules(config));
  REQUIRE(warnings.size() == 1);
  CHECK_THAT(warnings[0], ContainsSubstring("no keyboard") && ContainsSubstring("(to gui)"));
}

TEST_CASE("a host that has no keyboard anyway cannot lose it") {
  CHECK(detail::last_input_warnings({input("Power Button", "ID_INPUT_KEY")}, rules_for("x", "Power")).empty());
  CHECK(detail::last_input_warnings({}, rules_for(".*", ".*")).empty());
}
