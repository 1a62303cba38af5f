// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <hotplug/usb_device.hpp>

#include <string>

using namespace hotplug;

namespace {

const std::string controller_path = "/sys/devices/pci0000:00/0000:00:14.0";

std::string bytes(std::initializer_list<int> values) {
  std::string text;
  for (const int value : values) text += static_cast<char>(value);
  return text;
}

/// The descriptors of a device with these interfaces, in two configurations when there are two.
std::string descriptors(std::initializer_list<std::initializer_list<UsbClass>> configurations) {
  std::string text = bytes({18, 1, 0, 2, 0, 0, 0, 64, 0x6d, 0x04, 0x2b, 0xc5, 0, 1, 1, 2, 0, 1});
  for (const auto& interfaces : configurations) {
    text += bytes({9, 2, 0, 0, static_cast<int>(interfaces.size()), 1, 0, 0xa0, 50});
    for (const UsbClass& one : interfaces) {
      text += bytes({9, 4, 0, 0, 1, one.code, one.subclass, one.protocol, 0});
      text += bytes({7, 5, 0x81, 3, 8, 0, 10}); // an endpoint
    }
  }
  return text;
}

UsbRecord record() {
  UsbRecord result;
  result.sys_path = controller_path + "/usb3/3-1/3-1.4";
  result.device_node = "/dev/bus/usb/003/078";
  result.attributes = {{"busnum", "3"},        {"devnum", "78"},          {"idVendor", "046d"},
                       {"idProduct", "c52b"},  {"manufacturer", "Logi"},  {"product", " USB Receiver "},
                       {"serial", "A1B2"},     {"speed", "480"},          {"removable", "removable"},
                       {"bDeviceClass", "ef"}, {"bDeviceSubClass", "02"}, {"bDeviceProtocol", "01"},
                       {"authorized", "1"}};
  result.descriptors = descriptors({{{3, 1, 1}, {3, 1, 2}}});
  return result;
}

} // namespace

TEST_CASE("a USB device has its properties from udev and sysfs") {
  const UsbDevice device = make_usb_device(record()).value();
  CHECK(device.sys_name == "3-1.4");
  CHECK(device.port_path() == "3-1.4");
  CHECK(device.bus == 3);
  CHECK(device.address == 78);
  CHECK(device.ports == std::vector<int>{1, 4});
  CHECK(device.root_port() == 1);
  CHECK(device.vendor_id == 0x046d);
  CHECK(device.product_id == 0xc52b);
  CHECK(device.vendor_name == "Logi");
  CHECK(device.product_name == "USB Receiver");
  CHECK(device.serial == "A1B2");
  CHECK(device.speed == 480);
  CHECK(device.removable == "removable");
  CHECK(device.controller == "0000:00:14.0");
  CHECK(device.device_class == UsbClass{0xef, 2, 1});
  CHECK(device.interfaces == std::vector<UsbClass>{{3, 1, 1}, {3, 1, 2}});
  CHECK(device.authorized);
}

TEST_CASE("attributes of a USB device may be absent") {
  UsbRecord bare;
  bare.sys_path = controller_path + "/usb3/3-2";
  bare.attributes = {{"busnum", "3"}, {"devnum", "5"}};
  const UsbDevice device = make_usb_device(bare).value();
  CHECK(device.device_node == "/dev/bus/usb/003/005");
  CHECK(device.vendor_id == 0);
  CHECK(device.removable == "unknown");
  CHECK(device.speed == 0);
  CHECK(device.authorized);
  CHECK(device.interfaces.empty());
  CHECK(device.identity.fingerprint.empty());

  // The hardware database knows names of devices that say none.
  bare.properties = {
      {"ID_VENDOR_FROM_DATABASE", "Acme"}, {"ID_MODEL_FROM_DATABASE", "Thing"}, {"ID_SERIAL_SHORT", "9"}};
  const UsbDevice known = make_usb_device(bare).value();
  CHECK(known.vendor_name == "Acme");
  CHECK(known.product_name == "Thing");
  CHECK(known.serial == "9");
}

TEST_CASE("hubs, root hubs, interfaces and records without an address are not devices to pass") {
  UsbRecord hub = record();
  hub.attributes["bDeviceClass"] = "09";
  CHECK_FALSE(make_usb_device(hub));
  UsbRecord root = record();
  root.sys_path = controller_path + "/usb3";
  CHECK_FALSE(make_usb_device(root));
  UsbRecord interface = record();
  interface.sys_path += "/3-1.4:1.0";
  CHECK_FALSE(make_usb_device(interface));
  for (const char* name : {"busnum", "devnum"}) {
    UsbRecord gone = record();
    gone.attributes.erase(name);
    CHECK_FALSE(make_usb_device(gone));
    gone.attributes[name] = "x";
    CHECK_FALSE(make_usb_device(gone));
  }
}

TEST_CASE("a device that is not authorised gets its interfaces from the descriptors") {
  UsbRecord refused = record();
  refused.attributes["authorized"] = "0";
  const UsbDevice device = make_usb_device(refused).value();
  CHECK_FALSE(device.authorized);
  CHECK(device.interfaces.size() == 2);
}

TEST_CASE("interfaces are those of all configurations, without duplicates, as far as the descriptors are valid") {
  const std::string sound = descriptors({{{8, 6, 80}, {3, 1, 1}}, {{8, 6, 80}, {0xff, 0, 0}}});
  CHECK(interfaces_of(sound) == std::vector<UsbClass>{{3, 1, 1}, {8, 6, 80}, {0xff, 0, 0}});
  // However it is cut, or whatever a length says, it ends.
  for (std::size_t size = 0; size <= sound.size(); ++size) CHECK(interfaces_of(sound.substr(0, size)).size() <= 3);
  CHECK(interfaces_of(bytes({0, 4, 0, 0, 0})).empty());
  CHECK(interfaces_of(bytes({1, 4})).empty());
  CHECK(interfaces_of(bytes({255, 4, 1, 1, 1, 3, 1, 1})).empty());
  CHECK(interfaces_of(bytes({5, 4, 1, 1, 1, 3, 1, 1})).empty());
  CHECK(interfaces_of("").empty());
}

TEST_CASE("a device keeps its identity when it comes back with another address or on a bus of another number") {
  const UsbDevice before = make_usb_device(record()).value();
  UsbRecord again = record();
  again.attributes["devnum"] = "79";
  again.device_node = "/dev/bus/usb/003/079";
  CHECK(make_usb_device(again)->identity == before.identity);
  UsbRecord renumbered = record();
  renumbered.sys_path = controller_path + "/usb5/5-1/5-1.4";
  renumbered.attributes["busnum"] = "5";
  CHECK(make_usb_device(renumbered)->identity == before.identity);
}

TEST_CASE("two identical devices are distinguished by their location") {
  UsbRecord other = record();
  other.sys_path = controller_path + "/usb3/3-1/3-1.3";
  CHECK(make_usb_device(other)->identity != make_usb_device(record())->identity);
  UsbRecord elsewhere = record();
  elsewhere.sys_path = "/sys/devices/pci0000:00/0000:00:15.0/usb7/7-1/7-1.4";
  CHECK(make_usb_device(elsewhere)->identity != make_usb_device(record())->identity);
}

TEST_CASE("another device in the same place has other descriptors") {
  UsbRecord other = record();
  other.descriptors = descriptors({{{8, 6, 80}}});
  const Identity one = make_usb_device(record())->identity, two = make_usb_device(other)->identity;
  CHECK(one.connector == two.connector);
  CHECK(one.fingerprint != two.fingerprint);
}

TEST_CASE("the USB 2 and the USB 3 side of a connector are one place") {
  UsbRecord usb2 = record();
  usb2.sys_path = controller_path + "/usb3/3-5";
  usb2.peer_port = "usb4-port1";
  UsbRecord usb3 = record();
  usb3.sys_path = controller_path + "/usb4/4-1";
  usb3.peer_port = "usb3-port5";
  usb3.attributes["busnum"] = "4";
  usb3.attributes["speed"] = "5000";
  const UsbDevice slow = make_usb_device(usb2).value(), fast = make_usb_device(usb3).value();
  CHECK(slow.identity.connector == "0000:00:14.0/5");
  CHECK(fast.identity.connector == "0000:00:14.0/5");
  CHECK(slow.peer_path == "4-1");
  CHECK(fast.peer_path == "3-5");

  usb3.sys_path = controller_path + "/usb4/4-1/4-1.2";
  usb3.peer_port = "3-5-port2";
  CHECK(make_usb_device(usb3)->identity.connector == "0000:00:14.0/5.2");
  CHECK(make_usb_device(usb3)->peer_path == "3-5.2");
}

TEST_CASE("locations differ even on a controller that is not a PCI device") {
  UsbRecord gadget = record();
  gadget.sys_path = "/sys/devices/platform/dummy_hcd.0/usb3/3-1";
  const UsbDevice device = make_usb_device(gadget).value();
  CHECK(device.controller.empty());
  CHECK(device.identity.connector == "dummy_hcd.0/1");
}
