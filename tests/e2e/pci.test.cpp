// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "pci_host.hpp"
#include "saved_guest.hpp"

#include <chrono>
#include <string>

using Catch::Matchers::ContainsSubstring;
using qemuctl::Json;
using test::lent;
using test::one_port;
using test::PciHost;
using test::two_ports;

TEST_CASE("of two identical cards the right one goes to its VM, and back to its driver afterwards") {
  PciHost host;
  const std::string first = host.plug_card("e1000e", "one", "rp0"), second = host.plug_card("e1000e", "two", "rp1");
  host.wait_for_driver(first, "e1000e");
  host.wait_for_driver(second, "e1000e");
  host.start_vm("a", one_port);
  host.more_rules = PciHost::rules_for(PciHost::by_address(second));
  host.start_daemon("[]", {}, "-a");
  host.wait_for_cards(1);
  CHECK_THAT(host.host.ids_of(host.vm("a"), "vfio-pci")[0], ContainsSubstring(second.substr(5, 2)));
  CHECK(host.driver_of(first) == "e1000e");
  CHECK(host.driver_of(second) == "vfio-pci");

  // QEMU is killed: the host has its card, and the next QEMU gets it again.
  host.kill_vm("a");
  host.wait_for_driver(second, "e1000e");
  host.host.wait_until(std::string("test -z \"$(ls ") + lent + ")\"");
  host.start_vm("a", one_port);
  host.wait_for_cards(1);

  // The VM has no guest that could let go of it; a reset does.
  host.more_rules = PciHost::rules_for(R"({"deviceClass": 255})");
  host.write_config("[]");
  host.wait_for_log("has not let go of " + second + ".*; it is asked again");
  CHECK(host.driver_of(second) == "vfio-pci");
  host.reset_vm("a");
  host.wait_for_driver(second, "e1000e");
  CHECK(host.host.output_of(std::string("ls ") + lent).empty());
}

TEST_CASE("a card that is plugged into the host goes to its VM, and can be unplugged") {
  PciHost host;
  host.more_rules = PciHost::rules_for(R"({"vendorId": "8086", "deviceId": "10d3"})");
  // Before its firmware has run, a VM's ports have no power, and so it lets go of what is in them without a guest.
  host.start_vm("a", std::string(one_port) + " -S -global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off");
  host.start_daemon("[]");
  for (int time = 0; time < 2; ++time) {
    const std::string card = host.plug_card("e1000e", "one", "rp0");
    host.wait_for_cards(1);
    CHECK(host.driver_of(card) == "vfio-pci");
    host.host.pull("one");
    host.wait_for_cards(0);
    host.host.wait_until("test ! -e /sys/bus/pci/devices/" + card + " && test ! -e " + lent + card);
  }
  const Json list = host.request(R"({"action": "pci_list"})");
  for (const Json& each : list.at("pci_devices").as_array()) CHECK(each.at("did") != Json("10d3"));
}

TEST_CASE("a new virtual function of a card goes to its VM, and the card itself stays with the host") {
  PciHost host({"-device", "nvme-subsys,id=subsystem", "-device",
                R"({"driver": "nvme", "id": "disk", "bus": "rp0", "subsys": "subsystem", "serial": "one",
                "sriov_max_vfs": 1, "sriov_vq_flexible": 2, "sriov_vi_flexible": 1})"});
  host.host.output_of("modprobe nvme; udevadm trigger --action=add --subsystem-match=pci; udevadm settle");
  host.host.wait_until("test -d /sys/bus/pci/drivers/nvme/0*");
  const std::string card = host.host.output_of("cd /sys/bus/pci/drivers/nvme; ls -d 0*");
  const std::string folder = "/sys/bus/pci/devices/" + card;
  host.more_rules = PciHost::rules_for(R"({"vendorId": "1b36", "deviceId": "0010"})"); // also the card itself
  // As in the case before, a VM that lets go of what is in its ports without a guest.
  host.start_vm("a", std::string(two_ports) + " -S -global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off");
  host.host.output_of("echo 1 >" + folder + "/sriov_numvfs");
  host.start_daemon("[]"); // without -a, so what is there stays with the host
  const auto attach_card = [&] { return host.host.run(PciHost::command("pci attach ") + card); };
  CHECK_THAT(attach_card().output, ContainsSubstring("it has virtual functions (0000:01:00.1)"));
  CHECK(host.driver_of(card) == "nvme");
  host.host.output_of("echo 0 >" + folder + "/sriov_numvfs");
  for (int time = 0; time < 2; ++time) {
    host.host.output_of("echo 1 >" + folder + "/sriov_numvfs");
    const std::string function = host.host.output_of("basename $(readlink " + folder + "/virtfn0)");
    host.wait_for_cards(1);
    CHECK_THAT(host.host.ids_of(host.vm("a"), "vfio-pci").at(0), ContainsSubstring(function.substr(5, 2) + ".00.1"));
    CHECK(host.driver_of(function) == "vfio-pci");

    const test::CommandResult refused = attach_card();
    CHECK(refused.status != 0);
    CHECK_THAT(refused.output, ContainsSubstring("its virtual function " + function + " is VM a's"));
    CHECK(host.driver_of(card) == "nvme");

    host.host.output_of("echo 0 >" + folder + "/sriov_numvfs"); // which ends when the VM has let go of it
    host.wait_for_cards(0);
    host.host.wait_until("test ! -e /sys/bus/pci/devices/" + function + " && test ! -e " + lent + function);
    CHECK(host.driver_of(card) == "nvme");
  }
  CHECK_THAT(attach_card().output, ContainsSubstring("is in VM a now"));
  host.host.output_of(PciHost::command("pci detach ") + card);
  host.wait_for_driver(card, "nvme");
  // Pulled without its function, whose VM's QEMU 7.2 may hang when it cannot unmap the memory of a device that is gone.
  // QEMU 10.0, as the machine that the host is, dies of either.
  const Json version = host.host.await(host.host.machine().execute("query-version"));
  if (version.at("qemu").at("major").as_int() >= 10) return;
  host.host.pull("disk");
  host.host.wait_until("test ! -e " + folder + std::string(" && test -z \"$(ls ") + lent + ")\"");
}

TEST_CASE("an IOMMU group of two goes to a VM only as a whole") {
  // The IOMMU cannot tell apart what is behind a bridge to PCI without Express.
  PciHost host({"-device", R"({"driver": "pcie-pci-bridge", "id": "bridge", "bus": "rp0"})", "-device",
                R"({"driver": "e1000", "bus": "bridge", "addr": "0x1"})", "-device",
                R"({"driver": "e1000", "bus": "bridge", "addr": "0x2"})"});
  host.start_vm("a", two_ports);
  host.host.output_of("modprobe e1000; udevadm trigger --action=add --subsystem-match=pci --attr-match=device=0x100e; "
                      "udevadm settle");
  const std::string both = host.host.output_of("cd /sys/bus/pci/drivers/e1000; ls -d 0*");
  REQUIRE(both.size() == 2 * 12 + 1);
  const std::string first = both.substr(0, 12), second = both.substr(13);

  host.more_rules = PciHost::rules_for(PciHost::by_address(first));
  host.start_daemon("[]", {}, "-a");
  host.wait_for_log(second + ".*used by the host.s driver e1000.*pciIommuAddAll");
  CHECK(host.driver_of(first) == "e1000");
  host.more_rules = PciHost::rules_for(PciHost::by_address(first), R"(, "pciIommuSkipIfShared": true)");
  host.write_config("[]");
  host.wait_for_log(second + " is in its IOMMU group .*pciIommuSkipIfShared");
  host.more_rules = PciHost::rules_for(PciHost::by_address(first), R"(, "pciIommuAddAll": true)");
  // The host uses one of them: then no driver of the others is disturbed either.
  const std::string interface = host.host.output_of("ls /sys/bus/pci/devices/" + second + "/net");
  host.host.output_of("ip link set " + interface + " up && ip route add default dev " + interface);
  host.write_config("[]");
  host.wait_for_log(second + " of its IOMMU group: the host uses it: the default route goes through " + interface);
  CHECK(host.driver_of(first) == "e1000");
  CHECK(host.host.output_of("grep -c 'vfio-pci has it now' /tmp/daemon.log || true") == "0");
  host.host.output_of("ip route del default");
  host.write_config("[]");
  host.wait_for_cards(2);
  host.kill_vm("a");
  host.wait_for_driver(first, "e1000");
  host.wait_for_driver(second, "e1000");
}

TEST_CASE(
    "a driver that keeps its card is given up at the deadline, and a service that dies meanwhile leaves a journal") {
  PciHost host;
  const std::string disk = host.plug_card("nvme", "disk", "rp0");
  host.wait_for_driver(disk, "nvme");
  host.start_vm("a", one_port);
  host.more_rules = PciHost::rules_for(R"({"deviceClass": 1, "deviceSubclass": 8})");
  const std::string unbind = "/sys/bus/pci/drivers/nvme/unbind";
  host.block(unbind);
  host.start_daemon("[]", {}, "-a");
  // The journal is written before anything is done.
  host.host.wait_until("grep -q nvme " + (lent + disk));
  host.wait_for_log("the kernel did not do it within 10 s");
  CHECK(host.driver_of(disk) == "nvme");
  host.host.wait_until(std::string("test ! -e ") + lent + disk); // nothing was taken

  // Not even SIGKILL ends the next one: a frozen process is what comes closest to one that the kernel keeps.
  const std::string helper = host.freeze_helper();
  host.wait_for_log("and keeps process " + helper);
  CHECK(host.host.output_of("ps -o stat= -p " + helper + " | head -c1") == "D");
  host.thaw_helper();
  host.wait_for_log("the kernel is through with it");

  // Killed before the driver was left.
  host.signal_daemon("KILL");
  host.start_daemon_again("-a");
  host.host.wait_until(std::string("test -e ") + lent + disk);
  host.signal_daemon("KILL");
  host.unblock(unbind);
  host.start_daemon_again(); // without -a: what was not in a VM stays with the host
  host.host.wait_until(std::string("test ! -e ") + lent + disk);
  CHECK(host.driver_of(disk) == "nvme");
  CHECK(host.host.output_of("cat /sys/bus/pci/devices/" + disk + "/driver_override") == "(null)");

  // Killed between the two drivers, and QEMU, too.
  host.signal_daemon("KILL");
  host.block("/sys/bus/pci/drivers_probe");
  host.start_daemon_again("-a");
  host.host.wait_until("! test -e /sys/bus/pci/devices/" + disk + "/driver");
  host.signal_daemon("KILL");
  host.unblock("/sys/bus/pci/drivers_probe");
  host.kill_vm("a");
  host.start_daemon_again();
  host.wait_for_driver(disk, "nvme");
  host.host.wait_until(std::string("test ! -e ") + lent + disk);
}

TEST_CASE("a card goes to its VM once udev has set up the node of its group") {
  PciHost host;
  const std::string card = host.plug_card("e1000e", "one", "rp0");
  host.wait_for_driver(card, "e1000e");
  host.start_vm("a", one_port);
  host.more_rules = PciHost::rules_for(PciHost::by_address(card));
  host.host.output_of("modprobe -a vfio-pci vfio_iommu_type1 && udevadm settle");
  host.start_daemon("[]"); // without -a, so what is there stays with the host
  host.host.output_of("udevadm control --stop-exec-queue");
  host.host.spawn(PciHost::command("pci attach ") + card, "/tmp/attached");
  host.host.wait_until("grep -q 'udev has not set up /dev/vfio/' /tmp/attached");
  CHECK(host.host.output_of("grep -c 'has " + card + " .* now, as' /tmp/daemon.log || true") == "0");
  host.host.output_of("udevadm control --start-exec-queue");
  host.wait_for_driver(card, "e1000e");
  CHECK_THAT(host.host.output_of(PciHost::command("pci attach ") + card), ContainsSubstring("is in VM a now"));
}

TEST_CASE("a service that stops while the kernel changes a driver leaves the card with the host") {
  PciHost host;
  const std::string card = host.plug_card("e1000e", "one", "rp0");
  host.wait_for_driver(card, "e1000e");
  host.start_vm("a", one_port);
  host.more_rules = PciHost::rules_for(PciHost::by_address(card));
  const std::string unbind = "/sys/bus/pci/drivers/e1000e/unbind", folder = "/sys/bus/pci/devices/" + card;
  host.block(unbind);
  host.start_daemon("[]", {}, "-a");
  host.host.wait_until("grep -q vfio-pci " + folder + "/driver_override");
  host.signal_daemon("TERM");
  CHECK(host.host.output_of("cat " + folder + "/driver_override") == "(null)");
  CHECK(host.driver_of(card) == "e1000e");
  CHECK(host.host.output_of(std::string("ls ") + lent).empty());
}

TEST_CASE("a guest sees cards that are plugged in, and releases them when asked") {
  test::SavedGuest guest;
  PciHost host;
  const std::string network = host.plug_card("e1000e", "network", "rp0");
  const std::string disk = host.plug_card("nvme", "disk", "rp1");
  host.wait_for_driver(network, "e1000e");
  host.wait_for_driver(disk, "nvme");
  host.start_vm("a", guest.arguments());
  host.more_rules = PciHost::rules_for(PciHost::by_address(network) + ", " + PciHost::by_address(disk));
  host.start_daemon("[]", {}, "-a");
  host.wait_for_cards(2);
  guest.wait_for(host.host, R"(pci .*: \[8086:10d3\] type 00 class 0x020000)");
  guest.wait_for(host.host, R"(pci .*: \[1b36:0010\] type 00 class 0x010802)");
  CHECK(host.driver_of(network) == "vfio-pci");
  CHECK(host.driver_of(disk) == "vfio-pci");

  host.more_rules = PciHost::rules_for(R"({"deviceClass": 255})");
  host.write_config("[]");
  host.wait_for_cards(0);
  host.wait_for_driver(network, "e1000e");
  host.wait_for_driver(disk, "nvme");
  CHECK(host.host.output_of(std::string("ls ") + lent).empty());
  // It was the guest that let go of them, and none of them is left there.
  guest.run(host.host, "echo left: $(cat /sys/bus/pci/devices/*/class | grep -c -e 0x020000 -e 0x010802)");
  guest.wait_for(host.host, "^left: 0");
}
