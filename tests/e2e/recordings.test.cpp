// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "golden.hpp"
#include "host_vm.hpp"

#include <fmt/format.h>

using namespace qemuctl;

namespace {

Json usb(const char* driver, const char* id, const char* port) {
  return Json::object({{"driver", driver}, {"id", id}, {"port", port}});
}

std::string script(const char* name) {
  return (test::source_dir() / "tests/e2e" / name).string();
}

/// Writes tests/data/udev/NAME.umockdev. `paths`: of /sys.
void record(test::HostVm& host, const std::string& name, const std::string& what, const std::string& paths) {
  test::write_file(test::source_dir() / "tests/data/udev" / (name + ".umockdev"),
                   fmt::format("# {}, by tests/e2e/record {}\n# in the host in a VM. All of them anew: "
                               "build/tests/e2e_tests \"[recordings]\"\n\n{}\n",
                               what, paths, host.output_of(script("record") + " " + paths)));
}

} // namespace

// Not among those that ctest runs.
TEST_CASE("the recordings in tests/data/udev are made", "[.][recordings]") {
  test::HostVm host;
  const std::string bus = host.output_of("readlink -f /sys/bus/usb/devices/usb1 | xargs dirname");
  host.add_disk("disk");
  Json stick = usb("usb-storage", "stick", "3");
  stick.set("drive", "disk").set("serial", "4711");
  host.plug(stick);
  host.plug(usb("usb-tablet", "tablet", "5"));
  host.plug(usb("usb-hub", "hub", "1"));
  host.wait_for_device(bus + "/usb1/1-1");
  for (const char* port : {"1.1", "1.2"}) {
    Json keyboard = usb("usb-kbd", port[2] == '1' ? "first" : "second", port);
    keyboard.set("serial", "same");
    host.plug(keyboard);
  }
  for (const char* name : {"usb2/2-3", "usb1/1-5", "usb1/1-1/1-1.1", "usb1/1-1/1-1.2"})
    host.wait_for_device(bus + "/" + name);
  record(host, "storage", "QEMU's usb-storage with serial=4711", bus + "/usb2/2-3");
  record(host, "tablet", "QEMU's usb-tablet", bus + "/usb1/1-5");
  record(host, "hub", "QEMU's usb-hub with two usb-kbd with serial=same",
         bus + "/usb1/1-1/1-1.1 " + bus + "/usb1/1-1/1-1.2");
  host.output_of("echo 0 >" + bus + "/usb2/2-3/authorized");
  record(host, "deauthorised", "QEMU's usb-storage after echo 0 >authorized", bus + "/usb2/2-3");
  for (const char* name : {"composite", "camera", "phone", "hostile", "bare"})
    record(host, name, fmt::format("the device of tests/e2e/gadget {}", name),
           host.output_of(script("gadget") + " " + name));
}

TEST_CASE("the recording of a pointer with its events in tests/data/udev is made", "[.][recordings]") {
  test::HostVm host;
  host.plug(usb("usb-tablet", "tablet", "5"));
  const std::string find = "readlink -f /sys/class/input/event*/ | grep /usb1/1-5/";
  host.wait_until(find);
  const std::string events = host.output_of(find);
  host.wait_for_device(events);
  record(host, "pointer", "the events of QEMU's usb-tablet", events);
}

TEST_CASE("the recordings of cards and of the keyboard in tests/data/udev are made", "[.][recordings]") {
  test::HostVm::Options options;
  options.qemu_arguments = {"-device", "intel-iommu,intremap=on,caching-mode=on",
                            "-device", R"({"driver": "pcie-pci-bridge", "id": "bridge", "bus": "rp0"})",
                            "-device", R"({"driver": "e1000", "bus": "bridge", "addr": "0x1"})",
                            "-device", R"({"driver": "e1000", "bus": "bridge", "addr": "0x2"})"};
  options.kernel_arguments = "intel_iommu=on iommu=pt";
  test::HostVm host(options);
  host.output_of("modprobe e1000; udevadm trigger --action=add --subsystem-match=pci; udevadm settle");
  record(host, "bridge", "two of QEMU's e1000 behind its pcie-pci-bridge",
         host.output_of(
             "for card in $(grep -l 0x100e /sys/bus/pci/devices/*/device); do readlink -f $(dirname $card); done | "
             "paste -sd ' '"));
  const std::string chipset = "/sys/devices/pci0000:00/0000:00:1f.";
  record(host, "chipset", "the functions of q35's chipset", chipset + "0 " + chipset + "2 " + chipset + "3");
  record(host, "keyboard", "QEMU's PS/2 keyboard",
         host.output_of("for event in /sys/class/input/event*; do grep -q 'AT Translated' $event/device/name && "
                        "readlink -f $event; done | head -n 1"));
}
