// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// What is refused of USB, devices of the host and hot plugging.
#include "catch.hpp"
#include "refusal.hpp"

#include <fmt/format.h>

#include <string>

using namespace qemuctl;
using Catch::Matchers::ContainsSubstring;
using test::refusal;

namespace {

std::string usb_host(const std::string& members) {
  return refusal(fmt::format(R"({{"hostDevices": [{{"type": "usb", {}}}]}})", members));
}

std::string pci_host(const std::string& address) {
  return refusal(fmt::format(R"({{"hostDevices": [{{"type": "pci", "address": "{}"}}]}})", address));
}

std::string usb_device(const std::string& members) {
  return refusal(fmt::format(R"({{"chardevs": [{{"id": "c", "backend": "null"}}], "usbDevices": [{{{}}}]}})", members));
}

} // namespace

TEST_CASE("a USB device of the host is selected by identity or by location") {
  CHECK(usb_host(R"("vendorId": "046d", "productId": "c52b")") == "not refused");
  CHECK(usb_host(R"("vendorId": "046d")") == "not refused");
  CHECK(usb_host(R"("bus": 1, "port": "1.4.2")") == "not refused");
  CHECK(usb_host(R"("bus": 1, "address": 5)") == "not refused");
  CHECK(usb_host(R"("bus": 1, "port": "2", "vendorId": "046d", "productId": "c52b")") == "not refused");
  CHECK_THAT(refusal(R"({"hostDevices": [{"type": "usb"}]})"),
             ContainsSubstring("hostDevices[0]: found no device, expected vendorId and productId, or bus and port"));
  CHECK_THAT(usb_host(R"("productId": "c52b")"), ContainsSubstring("hostDevices[0].vendorId: found nothing"));
  CHECK_THAT(usb_host(R"("vendorId": "046d", "bus": 3)"), ContainsSubstring("hostDevices[0].bus: has no effect"));
  CHECK_THAT(usb_host(R"("port": "1")"), ContainsSubstring("hostDevices[0].bus: found nothing"));
  CHECK_THAT(usb_host(R"("bus": 1, "port": "1", "address": 4)"),
             ContainsSubstring("hostDevices[0].address: has no effect together with port"));
  for (const char* port : {"1-2", "", "1..2", "1.", "256"})
    CHECK_THAT(usb_host(fmt::format(R"("bus": 1, "port": "{}")", port)), ContainsSubstring("hostDevices[0]"));
  CHECK_THAT(usb_host(R"("vendorId": "046dx")"), ContainsSubstring("hostDevices[0].vendorId: "));
  CHECK_THAT(usb_host(R"("bus": 1, "address": 128)"), ContainsSubstring("hostDevices[0].address: "));
}

TEST_CASE("a PCI device of the host needs a valid address") {
  for (const char* address : {"0000:01:00.0", "01:00.7", "ABCD:ff:1f.3"}) CHECK(pci_host(address) == "not refused");
  for (const char* address : {"", "1:0.0", "0000:01:00.8", "0000:01:00", "01.00.0"})
    CHECK_THAT(pci_host(address), ContainsSubstring("hostDevices[0].address: found \"" + std::string(address)));
}

TEST_CASE("a host device can be in a VM only once") {
  CHECK_THAT(refusal(R"({"hostDevices": [{"type": "pci", "address": "01:0a.0"},
                                         {"type": "pci", "address": "0000:01:0A.0"}]})"),
             ContainsSubstring("hostDevices[1]: found the device of hostDevices[0]"));
  CHECK_THAT(refusal(R"({"hostDevices": [{"type": "usb", "vendorId": "046d"}, {"type": "usb", "vendorId": "046d"}]})"),
             ContainsSubstring("hostDevices[1]: ") && ContainsSubstring("told apart by bus and port"));
  CHECK(
      refusal(R"({"hostDevices": [{"type": "usb", "bus": 1, "port": "1"}, {"type": "usb", "bus": 1, "port": "2"}]})") ==
      "not refused");
}

TEST_CASE("the options of a USB device must match its type") {
  CHECK(usb_device(R"("type": "usb-tablet")") == "not refused");
  CHECK(usb_device(R"("type": "usb-serial", "chardev": "c")") == "not refused");
  CHECK_THAT(usb_device(R"("type": "usb-redir")"), ContainsSubstring("usbDevices[0].chardev: found nothing"));
  CHECK_THAT(usb_device(R"("type": "usb-redir", "chardev": "d")"), ContainsSubstring("usbDevices[0].chardev: found "
                                                                                     "\"d\""));
  CHECK_THAT(usb_device(R"("type": "usb-kbd", "chardev": "c")"),
             ContainsSubstring("usbDevices[0].chardev: has no effect for \"usb-kbd\""));
  CHECK_THAT(usb_device(R"("type": "usb-host")"),
             ContainsSubstring("usbDevices[0].type: found \"usb-host\", expected hostDevices"));
  CHECK_THAT(usb_device(R"("type": "usb-net")"), ContainsSubstring("expected networks"));
  CHECK_THAT(usb_device(R"("type": "usb-storage")"), ContainsSubstring("expected disks"));
}

TEST_CASE("USB devices of all kinds share the ports of one controller") {
  const auto with = [](int tablets, const std::string& more) {
    std::string list;
    for (int i = 0; i < tablets; ++i) list += i == 0 ? "\"usb-tablet\"" : ", \"usb-tablet\"";
    return refusal(fmt::format(R"({{"name": "a", "usbDevices": [{}]{}}})", list, more));
  };
  CHECK(with(15, "") == "not refused");
  for (const char* more : {R"(, "usbTablet": true)", R"(, "hostDevices": [{"type": "usb", "vendorId": "046d"}])",
                           R"(, "serials": [{"device": "usb-serial"}])", R"(, "networks": [{"model": "usb-net"}])",
                           R"(, "audio": {"backend": "none", "device": "usb-audio"})"}) {
    INFO(more);
    CHECK(with(14, more) == "not refused");
    CHECK_THAT(with(15, more), ContainsSubstring("usbDevices: found 16 USB devices, expected at most 15, the ports"));
  }
  CHECK_THAT(with(3, R"(, "usb": "piix3-usb-uhci")"), ContainsSubstring("expected at most 2"));
}

TEST_CASE("the USB controller must be a USB controller") {
  CHECK(refusal(R"({"usb": "nec-usb-xhci"})") == "not refused");
  CHECK_THAT(refusal(R"({"usb": "e1000"})"), ContainsSubstring("usb.type: found \"e1000\", expected a USB controller"));
}

TEST_CASE("a USB network card gets a port") {
  CHECK(
      test::values_of("-device",
                      R"({"name": "a", "networks": [{"model": "usb-net", "macAddr": "52:54:00:00:00:01"}]})") ==
      std::vector<std::string>{
          R"({"driver":"qemu-xhci","id":"usb","p2":15,"p3":15,"bus":"pcie.0","addr":"0x1"})",
          R"({"driver":"usb-net","id":"net0","netdev":"net0-netdev","mac":"52:54:00:00:00:01","bus":"usb.0","port":"1"})"});
}

TEST_CASE("machines with PCI Express have ports for hot plugging") {
  for (const char* machine : {"q35", "pc-q35-7.2"})
    CHECK(refusal(fmt::format(R"({{"machine": "{}", "hotplug": {{"pciePorts": 200}}}})", machine)) == "not refused");
  CHECK_THAT(refusal(R"({"hotplug": {"pciePorts": 201}})"), ContainsSubstring("hotplug.pciePorts: "));
  CHECK(refusal(R"({"machine": "pc", "hotplug": {}})") == "not refused");
  CHECK_THAT(refusal(R"({"machine": "pc", "hotplug": {"pciePorts": 1}})"),
             ContainsSubstring("hotplug.pciePorts: found 1 root ports, expected 0, as the machine \"pc\" has no PCI "
                               "Express"));
}

TEST_CASE("more PCI devices than a machine has room for are rejected") {
  std::string networks = "{}";
  for (int i = 1; i < 250; ++i) networks += ", {}";
  CHECK_THAT(refusal(fmt::format(R"({{"networks": [{}]}})", networks)),
             ContainsSubstring("250 PCI devices and 0 ports for hot plugging are more than the machine \"q35\""));
}

TEST_CASE("a microvm takes no PCI devices") {
  CHECK_THAT(refusal(R"({"machine": "microvm", "usbTablet": true})"),
             ContainsSubstring("usb.type: \"qemu-xhci\" is a PCI device, and the machine \"microvm\" has no PCI bus"));
  CHECK_THAT(refusal(R"({"machine": "microvm", "networks": [{"model": "e1000"}]})"),
             ContainsSubstring("networks[0].model: \"e1000\" is a PCI device"));
  CHECK(refusal(R"({"machine": "microvm", "networks": [{"model": "virtio"}]})") == "not refused");
}
