// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "vm_input.hpp"

#include <hotplug/explanation.hpp>
#include <hotplug/rules.hpp>

#include <functional>
#include <optional>
#include <string>

using namespace hotplug;
using Catch::Matchers::ContainsSubstring;

namespace {

/// What udev tells of the keyboard of a PC.
InputRecord keyboard() {
  InputRecord record;
  record.sys_path = "/sys/devices/platform/i8042/serio0/input/input2/event3";
  record.device_node = "/dev/input/event3";
  record.name = "AT Translated Set 2 keyboard";
  record.properties = {{"ACTION", "add"},
                       {"DEVNAME", "/dev/input/event3"},
                       {"ID_INPUT", "1"},
                       {"ID_INPUT_KEYBOARD", "1"},
                       {"ID_PATH_TAG", "platform-i8042-serio-0"}};
  return record;
}

bool matches(const std::function<void(InputMatch&)>& set) {
  InputRule rule;
  rule.vms = {"vm"};
  set(rule.allow.emplace_back());
  return InputRules({rule}).evaluate(*make_input_device(keyboard())).rule.has_value();
}

} // namespace

TEST_CASE("an input device is identified by its path tag and name, whatever its number") {
  const std::optional<InputDevice> device = make_input_device(keyboard());
  REQUIRE(device);
  CHECK(device->sys_name == "event3");
  CHECK(device->input == 2);
  CHECK(device->event == 3);
  CHECK_FALSE(device->properties.contains("ACTION"));
  InputRecord later = keyboard();
  later.sys_path = "/sys/devices/platform/i8042/serio0/input/input9/event7";
  CHECK(identity_of(*make_input_device(later)) == identity_of(*device));
  later.name = "AT Raw Set 2 keyboard";
  CHECK(identity_of(*make_input_device(later)) != identity_of(*device));
  CHECK(short_description(*device) == "event3 AT Translated Set 2 keyboard (platform-i8042-serio-0)");
}

TEST_CASE("a device without events, or on USB, is not an input device to pass") {
  InputRecord record = keyboard();
  for (const char* path :
       {"/sys/devices/platform/i8042/serio0/input/input2", "/sys/devices/platform/i8042/serio1/input/input2/mouse0",
        "/sys/devices/pci0000:00/0000:00:14.0/usb3/3-1/3-1:1.0/0003:046D:C52B.0001/input/input2/event3"}) {
    record.sys_path = path;
    CHECK_FALSE(make_input_device(record));
  }
  record = keyboard();
  record.device_node.clear();
  CHECK_FALSE(make_input_device(record));
}

TEST_CASE("rules for input devices match by name, path tag and property") {
  CHECK(matches([](InputMatch& m) { m.name = "at translated"; }));
  CHECK_FALSE(matches([](InputMatch& m) { m.name = "translated"; })); // from the start
  CHECK(matches([](InputMatch& m) { m.path_tag = "platform-.*-0"; }));
  CHECK_FALSE(matches([](InputMatch& m) { m.path_tag = "pci"; }));
  CHECK(matches([](InputMatch& m) { m.property = "ID_INPUT_KEYBOARD", m.value = "1"; }));
  CHECK_FALSE(matches([](InputMatch& m) { m.property = "ID_INPUT_KEYBOARD", m.value = "0"; }));
  CHECK_FALSE(matches([](InputMatch& m) { m.property = "ID_INPUT_MOUSE", m.value = "1"; }));
  CHECK_FALSE(matches([](InputMatch& m) { m.name = "AT", m.path_tag = "pci"; }));
  CHECK_FALSE(matches([](InputMatch&) {}));

  Config config;
  InputRule& rule = config.input_rules.emplace_back();
  rule.vms = {"vm"};
  rule.allow = all_input_matches();
  const std::string text = explanation(Rules(config), *make_input_device(keyboard()));
  CHECK_THAT(text, ContainsSubstring("yes property: wanted ID_INPUT_KEYBOARD=1, found \"ID_INPUT_KEYBOARD=1\""));
  CHECK_THAT(text, ContainsSubstring("it goes to VM vm"));
}

TEST_CASE("the ids of input devices in QEMU identify them") {
  using namespace hotplug::detail;
  CHECK(new_qdev_id(*make_input_device(keyboard()), 0x5f3a01c2) == "evdevhost-2-3-5f3a01c2");
  CHECK(input_key_in("evdevhost-2-3-5f3a01c2") == host_key(*make_input_device(keyboard())));
  CHECK(input_key_in("evdevhost-0-0-5f3a01c2") == input_key(0, 0));
  for (const char* other :
       {"", "evdevhost-", "evdevhost-2-3", "evdevhost-2-3-5f3a", "usbhost-2-3-5f3a01c2", "keyboard"})
    CHECK_FALSE(input_key_in(other));
}
