// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "host_vm.hpp"

using namespace qemuctl;

namespace {

Json usb(const char* driver, const char* id, const char* port) {
  return Json::object({{"driver", driver}, {"id", id}, {"port", port}});
}

} // namespace

TEST_CASE("a device that is plugged into the host in a VM is there, and gone when it is unplugged") {
  test::HostVm host;
  host.add_disk("disk");
  Json stick = usb("usb-storage", "stick", "1");
  stick.set("drive", "disk");
  host.plug(stick);
  host.plug(usb("usb-kbd", "keyboard", "2"));
  host.plug(usb("usb-tablet", "tablet", "3"));
  for (const char* device : {"2-1", "1-2", "1-3"}) host.wait_for_device(std::string("/sys/bus/usb/devices/") + device);
  CHECK(host.output_of("cd /sys/bus/usb/devices; cat 2-1/idVendor 1-2/product 1-3/product") ==
        "46f4\nQEMU USB Keyboard\nQEMU USB Tablet");
  // The kernel's drivers, too.
  host.wait_until("ls /sys/bus/usb/devices/2-1:1.0/host*/target*/*/block");
  for (const char* id : {"stick", "keyboard", "tablet"}) host.pull(id);
  for (const char* device : {"2-1", "1-2", "1-3"}) host.wait_for_removal(std::string("/sys/bus/usb/devices/") + device);
  CHECK(host.output_of("ls /sys/bus/usb/devices") == "1-0:1.0\n2-0:1.0\nusb1\nusb2");
}

TEST_CASE("a QEMU in the host in a VM takes the host's devices, and the test sees it") {
  test::HostVm host;
  host.plug(usb("usb-tablet", "tablet", "3"));
  host.wait_for_device("/sys/bus/usb/devices/1-3");
  test::NestedQemu vm = host.start_qemu("vm");
  CHECK(host.usb_of(vm).empty());

  const int address = std::stoi(host.output_of("cat /sys/bus/usb/devices/1-3/devnum"));
  host.execute(vm, "device_add",
               Json::object({{"driver", "usb-host"}, {"id", "given"}, {"hostbus", 1}, {"hostaddr", address}}));
  host.wait_until("the tablet is in the VM", [&] {
    const auto devices = host.usb_of(vm);
    return devices.size() == 1 && devices[0].attached;
  });
  const auto devices = host.usb_of(vm);
  CHECK(devices[0].id == "given");
  CHECK(devices[0].bus == 1);
  CHECK(devices[0].address == address);

  host.execute(vm, "device_del", Json::object({{"id", "given"}}));
  host.wait_until("the tablet is not in the VM", [&] { return host.usb_of(vm).empty(); });
}

TEST_CASE("a QEMU in the host in a VM can be killed, and started again under its name") {
  test::HostVm host;
  test::NestedQemu first = host.start_qemu("vm");
  host.output_of("kill -9 " + std::to_string(first.pid()));
  CHECK(host.await(first.qmp().wait_closed()).kind != ConnectionEnd::Kind::closed_here);
  test::NestedQemu second = host.start_qemu("vm", test::as_nobody());
  CHECK(second.pid() != first.pid());
  CHECK(host.output_of("stat -c %U /proc/" + std::to_string(second.pid())) == "nobody");
  CHECK(host.usb_of(second).empty());
}

TEST_CASE("commands in the host in a VM have their status and all their output") {
  test::HostVm host;
  const test::CommandResult failed = host.run("echo one; echo two >&2; exit 3");
  CHECK(failed.status == 3);
  CHECK(failed.output == "one\ntwo\n");
  CHECK(host.output_of("head -c 1000000 /dev/zero | tr '\\0' x").size() == 1'000'000);
  host.write_file("/tmp/it's here", "a 'text'\n");
  CHECK(host.output_of("cat '/tmp/it'\\''s here'") == "a 'text'");
  const int pid = host.spawn("sh -c 'echo started; sleep 1000'", "/tmp/log");
  host.wait_until("grep started /tmp/log");
  host.output_of("kill " + std::to_string(pid));
  host.wait_until("! test -e /proc/" + std::to_string(pid));
  CHECK_THROWS(host.output_of("false"));
  CHECK_THROWS(host.wait_until("false", std::chrono::seconds(1)));
}

TEST_CASE("a host in a VM has PCI devices that come and go, and an IOMMU on request") {
  test::HostVm::Options options;
  options.qemu_arguments = {"-device", "intel-iommu,intremap=on,caching-mode=on"};
  options.kernel_arguments = "intel_iommu=on iommu=pt";
  test::HostVm host(options);
  host.plug(Json::object({{"driver", "e1000e"}, {"id", "card"}, {"bus", "rp0"}}));
  host.wait_until("grep -q 0x10d3 /sys/bus/pci/devices/*/device");
  const std::string card = host.output_of("dirname $(grep -l 0x10d3 /sys/bus/pci/devices/*/device)");
  host.wait_for_device(card);
  CHECK(host.output_of("ls " + card + "/iommu_group/devices") == card.substr(card.rfind('/') + 1));
  host.pull("card");
  host.wait_for_removal(card);
}
