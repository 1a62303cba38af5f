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
  device.sys_path = "/sys/" + name;
  device.sys_name = device.product_name = name;
  device.interfaces = std::move(interfaces);
  return device;
}

InputDevice input(const std::string& name) {
  InputDevice device;
  device.sys_path = "/sys/" + name;
  device.sys_name = device.name = name;
  return device;
}

/// What udev knows of the host's.
const std::vector<detail::HostInput> inputs{
    {"/sys/AT keyboard", {"ID_INPUT_KEY", "ID_INPUT_KEYBOARD"}},
    {"/sys/Touchpad", {"ID_INPUT_TOUCHPAD"}},
    {"/sys/Power Button", {"ID_INPUT_KEY"}},
    {"/sys/Tablet/1-5:1.0/0003:0627:0001.0001/input/input4/event3", {"ID_INPUT_MOUSE"}}};

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

TEST_CASE("rules that take the host's last keyboard or pointer cause a warning") {
  const std::vector<Device> devices{usb("Receiver", {{3, 1, 1}, {3, 1, 2}}), input("AT keyboard"), input("Touchpad"),
                                    input("Power Button")};
  CHECK(detail::last_input_warnings(devices, inputs, rules_for("Receiver", "nothing")).empty());
  const std::vector<std::string> keyboard = detail::last_input_warnings(devices, inputs, rules_for("Receiver", "AT"));
  REQUIRE(keyboard.size() == 1);
  CHECK_THAT(keyboard[0], ContainsSubstring("no keyboard") && ContainsSubstring("Receiver") &&
                              ContainsSubstring("AT keyboard") && ContainsSubstring("(to gui)"));
  CHECK(detail::last_input_warnings(devices, inputs, rules_for("Receiver", "AT|Touch")).size() == 2);
}

TEST_CASE("a USB device that is a pointer only by its events counts as one") {
  const std::vector<Device> devices{usb("Tablet", {{3, 0, 0}}), usb("Tablet hub", {{3, 0, 0}}), input("AT keyboard")};
  const std::vector<std::string> warnings =
      detail::last_input_warnings(devices, inputs, rules_for("Tablet", "nothing"));
  REQUIRE(warnings.size() == 1);
  CHECK_THAT(warnings[0], ContainsSubstring("no pointer") && ContainsSubstring("Tablet (to gui)") &&
                              !ContainsSubstring("Tablet hub"));
  CHECK(detail::last_input_warnings(devices, inputs, rules_for("Tablet hub", "nothing")).empty());
}

TEST_CASE("taking a USB controller takes the keyboard behind it") {
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
  CHECK(detail::last_input_warnings(devices, inputs, Rules(config)).empty());
  config.pci_rules[0].iommu_add_all = true;
  const std::vector<std::string> warnings = detail::last_input_warnings(devices, inputs, Rules(config));
  REQUIRE(warnings.size() == 1);
  CHECK_THAT(warnings[0], ContainsSubstring("no keyboard") && ContainsSubstring("(to gui)"));
}

TEST_CASE("a host that has no keyboard anyway cannot lose it") {
  CHECK(detail::last_input_warnings({input("Power Button")}, inputs, rules_for("x", "Power")).empty());
  CHECK(detail::last_input_warnings({}, inputs, rules_for(".*", ".*")).empty());
}
