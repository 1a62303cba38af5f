// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "usb_host.hpp"

#include <fmt/format.h>
#include <umockdev.h>

#include <stdexcept>

namespace bench {

namespace {

/// Of a mass storage device.
constexpr const char* descriptors =
    "12010002000000406D042BC50001010201010902200001010080320904000002080650000705810200020007050202000200";
constexpr int per_bus = 120;

UMockdevTestbed* of(void* testbed) {
  return static_cast<UMockdevTestbed*>(testbed);
}

void describe(UMockdevTestbed* testbed, const std::string& description) {
  GError* error = nullptr;
  if (umockdev_testbed_add_from_string(testbed, description.c_str(), &error)) return;
  const std::string text = error->message;
  g_clear_error(&error);
  throw std::runtime_error("cannot add a device: " + text);
}

std::string hub_path(int bus) {
  return fmt::format("/devices/pci0000:00/0000:00:14.0/usb{}", bus);
}

} // namespace

int bus_of(int number) {
  return 1 + (number - 1) / per_bus;
}

int address_of(int number) {
  return 2 + (number - 1) % per_bus;
}

UsbHost::UsbHost() : testbed_(umockdev_testbed_new()) {
  for (int bus = 1; bus <= bus_of(999); ++bus)
    describe(of(testbed_), fmt::format("P: {}\nN: bus/usb/{:03}/001\nE: DEVTYPE=usb_device\nE: SUBSYSTEM=usb\n"
                                       "A: bDeviceClass=09\nA: busnum={}\nA: devnum=1\n\n",
                                       hub_path(bus), bus, bus));
}

UsbHost::~UsbHost() {
  g_object_unref(of(testbed_));
}

std::string UsbHost::add(int number) {
  const int bus = bus_of(number), address = address_of(number);
  const std::string path = fmt::format("{}/{}-{}", hub_path(bus), bus, address);
  describe(of(testbed_),
           fmt::format("P: {}\nN: bus/usb/{:03}/{:03}\nE: DEVTYPE=none\nE: SUBSYSTEM=usb\nE: ID_MODEL=x\n"
                       "A: bDeviceClass=00\nA: bDeviceSubClass=00\nA: bDeviceProtocol=00\nA: busnum={}\nA: devnum={}\n"
                       "A: idVendor=046d\nA: idProduct={:04x}\nA: product=Stick\nA: serial={}\nA: speed=480\n"
                       "H: descriptors={}\n\n",
                       path, bus, address, bus, address, number, number, descriptors));
  // umockdev tells of a device before it is complete; nobody listens to one of that type.
  umockdev_testbed_set_property(of(testbed_), ("/sys" + path).c_str(), "DEVTYPE", "usb_device");
  return "/sys" + path;
}

void UsbHost::tell(const std::string& path, const char* action) {
  umockdev_testbed_uevent(of(testbed_), path.c_str(), action);
}

void UsbHost::remove(const std::string& path) {
  umockdev_testbed_remove_device(of(testbed_), path.c_str());
}

} // namespace bench
