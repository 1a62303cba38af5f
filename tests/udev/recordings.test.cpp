// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "golden.hpp"
#include "host_inputs.hpp"
#include "pci_group.hpp"
#include "program.hpp"
#include "run.hpp"
#include "temp_dir.hpp"
#include "testbed.hpp"

#include <hotplug/udev_source.hpp>

#include <asio/io_context.hpp>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

using namespace hotplug;
using Catch::Matchers::ContainsSubstring;

namespace {

/// The devices of a recording of one kind, by name in sysfs, as they are reported.
template<typename Kind>
std::vector<Kind> all_of(const std::string& recording) {
  test::Testbed host;
  host.load(recording);
  asio::io_context io;
  UdevSource source(io.get_executor());
  const DeviceEvent event = test::run(io, source.next());
  std::vector<Kind> devices;
  for (const Device& device : std::get<DeviceSnapshot>(event).devices)
    if (const auto* one = std::get_if<Kind>(&device)) devices.push_back(*one);
  std::ranges::sort(devices, {}, &Kind::sys_name);
  return devices;
}

std::vector<UsbDevice> devices_of(const std::string& recording) {
  return all_of<UsbDevice>(recording);
}

UsbDevice device_of(const std::string& recording) {
  std::vector<UsbDevice> devices = devices_of(recording);
  REQUIRE(devices.size() == 1); // and none of the hubs above it
  return std::move(devices.front());
}

using Interfaces = std::vector<UsbClass>;

} // namespace

TEST_CASE("a recorded disk has all of its properties") {
  const UsbDevice disk = device_of("storage");
  CHECK(disk.sys_path == "/sys/devices/pci0000:00/0000:00:04.0/usb2/2-3");
  CHECK(disk.sys_name == "2-3");
  CHECK(disk.device_node == "/dev/bus/usb/002/002");
  CHECK(disk.bus == 2);
  CHECK(disk.address == 2);
  CHECK(disk.ports == std::vector<int>{3});
  CHECK(disk.peer_path == "1-3");
  CHECK(disk.vendor_id == 0x46f4);
  CHECK(disk.product_id == 0x0001);
  CHECK(disk.device_class == UsbClass{});
  CHECK(disk.vendor_name == "QEMU");
  CHECK(disk.product_name == "QEMU USB HARDDRIVE");
  CHECK(disk.serial == "4711");
  CHECK(disk.speed == 5000);
  CHECK(disk.removable == "unknown");
  CHECK(disk.controller == "0000:00:04.0");
  CHECK(disk.authorized);
  CHECK(disk.interfaces == Interfaces{{0x08, 0x06, 0x50}});
  CHECK(disk.identity.connector == "0000:00:04.0/3");
  CHECK(disk.identity.serial == "4711");
}

TEST_CASE("a recorded pointer is on the USB 2 side of its connector") {
  const UsbDevice tablet = device_of("tablet");
  CHECK(tablet.port_path() == "1-5");
  CHECK(tablet.peer_path == "2-5");
  CHECK(tablet.identity.connector == "0000:00:04.0/5");
  CHECK(tablet.product_name == "QEMU USB Tablet");
  CHECK(tablet.speed == 480);
  CHECK(tablet.interfaces == Interfaces{{0x03, 0x00, 0x00}});
}

TEST_CASE("a recorded pointer that firmware cannot use is known by its events, and taking the last one is a warning") {
  const UsbDevice pointer = device_of("pointer");
  CHECK(pointer.interfaces == Interfaces{{3, 0, 0}});
  test::Testbed host;
  host.load("pointer");
  const std::vector<detail::HostInput> inputs = detail::inputs_of_host();
  REQUIRE(inputs.size() == 1);
  CHECK(inputs[0].sys_path.starts_with(pointer.sys_path + "/1-5:1.0/"));
  CHECK(inputs[0].kinds.contains("ID_INPUT_MOUSE"));

  const test::TempDir dir;
  test::write_file(dir / "config.json", R"({"vms": [{"name": "gui", "socket": "/gui"}],
    "usbPassthrough": [{"targetVm": "gui", "allow": [{"vendorId": "0627"}]}]})");
  test::Program check({QEMUCTL_HOTPLUGD, "--check", "-c", (dir / "config.json").string()});
  CHECK(check.wait_for_end() == 0);
  CHECK_THAT(check.errors(), ContainsSubstring("warning: the rules leave this host no pointer: they take") &&
                                 ContainsSubstring("QEMU USB Tablet (to gui)"));
}

TEST_CASE("two identical recorded keyboards in a hub differ only by their ports") {
  const auto keyboards = devices_of("hub");
  REQUIRE(keyboards.size() == 2);
  CHECK(keyboards[0].port_path() == "1-1.1");
  CHECK(keyboards[1].port_path() == "1-1.2");
  CHECK(keyboards[0].root_port() == 1);
  CHECK(keyboards[0].speed == 12);
  CHECK(keyboards[0].interfaces == Interfaces{{0x03, 0x01, 0x01}});
  CHECK(keyboards[0].serial == "same");
  CHECK(keyboards[0].identity.connector == "0000:00:04.0/1.1");
  CHECK(keyboards[1].identity.connector == "0000:00:04.0/1.2");
  CHECK(keyboards[0].identity.serial == keyboards[1].identity.serial);
  CHECK(keyboards[0].identity.fingerprint == keyboards[1].identity.fingerprint);
}

TEST_CASE("a recorded disk that is not authorised still has its interfaces and its identity") {
  const UsbDevice used = device_of("storage"), unused = device_of("deauthorised");
  CHECK_FALSE(unused.authorized);
  CHECK(unused.interfaces == Interfaces{{0x08, 0x06, 0x50}});
  CHECK(unused.interfaces == used.interfaces);
  CHECK(unused.identity == used.identity);
}

TEST_CASE("a recorded composite device has all its interfaces") {
  CHECK(device_of("composite").interfaces == Interfaces{{0x03, 0x01, 0x01}, {0x08, 0x06, 0x50}});
  const UsbDevice camera = device_of("camera");
  CHECK(camera.device_class == UsbClass{0xef, 0x02, 0x01});
  CHECK(camera.interfaces ==
        Interfaces{{0x01, 0x01, 0x00}, {0x01, 0x02, 0x00}, {0x0e, 0x01, 0x00}, {0x0e, 0x02, 0x00}});
  const UsbDevice phone = device_of("phone");
  CHECK(phone.interfaces == Interfaces{{0x02, 0x02, 0x01}, {0x06, 0x01, 0x01}, {0x0a, 0x00, 0x00}, {0xff, 0x42, 0x01}});
}

TEST_CASE("a recorded device on a controller that is not a PCI device has no controller address") {
  const UsbDevice camera = device_of("camera");
  CHECK(camera.controller.empty());
  CHECK(camera.sys_path.starts_with("/sys/devices/platform/dummy_hcd."));
  CHECK_FALSE(camera.identity.connector.empty());
}

TEST_CASE("the strings of a recorded device are passed on unchanged, whatever they are") {
  const UsbDevice hostile = device_of("hostile");
  CHECK(hostile.vendor_name == "<b>Evil</b>");
  CHECK(hostile.product_name == "one\ntwo\t\x1b[31mred\x7f \"$(reboot)\" '; %s \\u0041 \xf0\x9f\x92\xa5");
  CHECK(hostile.serial == "../../../etc/passwd");
}

TEST_CASE("a recorded device without strings has no serial number, and names from the hardware database") {
  const UsbDevice bare = device_of("bare");
  CHECK(bare.vendor_id == 0x1d6b);
  CHECK(bare.product_id == 0x0107);
  CHECK(bare.device_class == UsbClass{0xff, 0x00, 0x00});
  CHECK(bare.vendor_name == "Linux Foundation");
  CHECK(bare.product_name.empty());
  CHECK(bare.serial.empty());
  CHECK_FALSE(bare.identity.fingerprint.empty());
}

TEST_CASE("recorded cards behind a bridge share an IOMMU group, and the bridge is not a device") {
  const std::vector<PciDevice> cards = all_of<PciDevice>("bridge");
  REQUIRE(cards.size() == 2);
  CHECK(cards[0].address() == "0000:02:01.0");
  CHECK(cards[1].address() == "0000:02:02.0");
  CHECK(cards[0].sys_path.find("/0000:01:00.0/0000:02:01.0") != std::string::npos);
  CHECK(cards[0].vendor_id == 0x8086);
  CHECK(cards[0].device_id == 0x100e);
  CHECK(cards[0].device_class == PciClass{0x02, 0x00, 0x00});
  CHECK(cards[0].driver == "e1000");
  REQUIRE(cards[0].iommu_group);
  CHECK(cards[0].iommu_group == cards[1].iommu_group);
  CHECK(cards[0].identity != cards[1].identity);

  const std::vector<detail::GroupMember> members{{cards[0], "a"}, {cards[1], std::nullopt}};
  CHECK_THAT(detail::group_obstacle(cards[0], "a", members),
             ContainsSubstring("0000:02:02.0") && ContainsSubstring("driver e1000"));
  PciRule rule;
  rule.vms = {"a"};
  rule.allow.emplace_back().address = cards[0].address();
  rule.iommu_add_all = true;
  auto verdicts = detail::decide_pci(cards, PciRules(std::vector<PciRule>(1, rule)));
  CHECK(verdicts[cards[1].address()].vms == std::vector<std::string>{"a"});
  CHECK(verdicts[cards[1].address()].member);
}

TEST_CASE("of a recorded chipset all functions but the bridges are devices") {
  const std::vector<PciDevice> functions = all_of<PciDevice>("chipset");
  REQUIRE(functions.size() == 2); // the first is the bridge to ISA
  CHECK(functions[0].address() == "0000:00:1f.2");
  CHECK(functions[0].device_class == PciClass{0x01, 0x06, 0x01});
  CHECK(functions[1].address() == "0000:00:1f.3");
  CHECK(functions[1].device_class == PciClass{0x0c, 0x05, 0x00});
  CHECK(functions[0].iommu_group == functions[1].iommu_group);
}

TEST_CASE("a recorded keyboard that is not on USB is identified by its path tag and name") {
  const std::vector<InputDevice> keyboards = all_of<InputDevice>("keyboard");
  REQUIRE(keyboards.size() == 1);
  CHECK(keyboards[0].name == "AT Translated Set 2 keyboard");
  CHECK(keyboards[0].path_tag == "platform-i8042-serio-0");
  CHECK(keyboards[0].properties.at("ID_INPUT_KEYBOARD") == "1");
  CHECK(keyboards[0].device_node == "/dev/input/" + keyboards[0].sys_name);
  CHECK(keyboards[0].identity.connector == "platform-i8042-serio-0/AT Translated Set 2 keyboard");
}
