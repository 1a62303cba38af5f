// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "hotplug_host.hpp"
#include "saved_guest.hpp"

#include <chrono>
#include <string>
#include <vector>

using namespace qemuctl;
using Catch::Matchers::ContainsSubstring;

namespace {

constexpr const char* port = "-m 64 -device pcie-root-port,id=ep0,chassis=1,slot=1";
constexpr const char* two_ports = "-m 64 -device pcie-root-port,id=ep0,chassis=1,slot=1 "
                                  "-device pcie-root-port,id=ep1,chassis=2,slot=2";
constexpr const char* lent = "/run/qemuctl/lent/";

test::HostVm::Options with_iommu(const std::vector<std::string>& more) {
  test::HostVm::Options options;
  options.qemu_arguments = {"-device", "intel-iommu,intremap=on,caching-mode=on"};
  options.qemu_arguments.insert(options.qemu_arguments.end(), more.begin(), more.end());
  options.kernel_arguments = "intel_iommu=on iommu=pt";
  return options;
}

/// A host with cards, and a service with rules for them.
struct PciHost : test::HotplugHost {
  explicit PciHost(const std::vector<std::string>& more = {}) : HotplugHost(with_iommu(more)) {}

  /// Plugs a card; the address that the host gives it.
  std::string plug_card(const std::string& driver, const std::string& id, const std::string& bus,
                        const std::string& place = "0x0") {
    const std::string before = host.output_of("ls /sys/bus/pci/devices");
    Json card = Json::object({{"driver", driver}, {"id", id}, {"bus", bus}, {"addr", place}});
    if (driver == "nvme") {
      host.add_disk(id + "-disk");
      card.set("drive", id + "-disk");
      card.set("serial", id);
    }
    host.plug(card);
    std::string address;
    host.wait_until("the card is there", [&] {
      const std::string after = host.output_of("ls /sys/bus/pci/devices");
      for (std::size_t at = 0; at < after.size(); at += 13)
        if (before.find(after.substr(at, 12)) == std::string::npos) address = after.substr(at, 12);
      return !address.empty();
    });
    host.wait_for_device("/sys/bus/pci/devices/" + address);
    return address;
  }

  static Json rules_for(const std::string& allow, const std::string& more = {}) {
    return Json::object(
        {{"pciPassthrough", parse_json(R"([{"targetVm": "a", "allow": [)" + allow + "]" + more + "}]")}});
  }
  static std::string by_address(const std::string& address) { return R"({"address": ")" + address + "\"}"; }

  std::string driver_of(const std::string& address) {
    return host.output_of("basename $(readlink /sys/bus/pci/devices/" + address + "/driver)");
  }
  void wait_for_driver(const std::string& address, const std::string& driver,
                       std::chrono::seconds deadline = test::HostVm::patience) {
    host.wait_until("test /sys/bus/pci/devices/" + address + "/driver -ef /sys/bus/pci/drivers/" + driver, deadline);
  }
  void wait_for_cards(std::size_t count) {
    host.wait_until(std::to_string(count) + " cards in the VM",
                    [&] { return host.ids_of(vm("a"), "vfio-pci").size() == count; });
  }
  void wait_for_log(const std::string& text) { host.wait_until("grep -q '" + text + "' /tmp/daemon.log"); }

  /// The process that writes for the service, which nothing can end until it is thawed. Its PID.
  std::string freeze_helper() {
    host.output_of("mkdir -p /tmp/freezer && mount -t cgroup -o freezer none /tmp/freezer && mkdir /tmp/freezer/cold");
    const std::string daemon = std::to_string(daemon_pid());
    const std::string children = "/proc/" + daemon + "/task/" + daemon + "/children";
    host.wait_until("grep -q . " + children);
    std::string helper = host.output_of("read -r pid _ <" + children + "; echo $pid");
    host.output_of("echo " + helper + " >/tmp/freezer/cold/tasks; echo FROZEN >/tmp/freezer/cold/freezer.state");
    host.wait_until("grep -q FROZEN /tmp/freezer/cold/freezer.state");
    return helper;
  }
  void thaw_helper() { host.output_of("echo THAWED >/tmp/freezer/cold/freezer.state"); }

  /// The kernel takes for ever to do what is written to this file of sysfs: in its place is one that nobody reads.
  void block(const std::string& file) {
    host.output_of("test -p /tmp/nobody || mkfifo /tmp/nobody; mount --bind /tmp/nobody " + file);
  }
  /// When those who wrote to it are gone.
  void unblock(const std::string& file) { host.wait_until("umount " + file); }
};

} // namespace

TEST_CASE("of two cards that are alike the right one is in its VM, and with its driver when the VM has it no more") {
  PciHost host;
  const std::string first = host.plug_card("e1000e", "one", "rp0"), second = host.plug_card("e1000e", "two", "rp1");
  host.wait_for_driver(first, "e1000e");
  host.wait_for_driver(second, "e1000e");
  host.start_vm("a", port);
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
  host.start_vm("a", port);
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

TEST_CASE("a card that is plugged into the host goes to its VM, and may be pulled out again") {
  PciHost host;
  host.more_rules = PciHost::rules_for(R"({"vendorId": "8086", "deviceId": "10d3"})");
  // Before its firmware has run, a VM's ports have no power, and so it lets go of what is in them without a guest.
  host.start_vm("a", std::string(port) + " -S -global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off");
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

TEST_CASE("a virtual function that a card gets goes to its VM, and the card itself stays with the host meanwhile") {
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
  const auto attach_card = [&] {
    return host.host.run(std::string(QEMUCTL_CLI) + " --socket " + test::HotplugHost::api_path + " pci attach " + card);
  };
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
  host.host.output_of(std::string(QEMUCTL_CLI) + " --socket " + test::HotplugHost::api_path + " pci detach " + card);
  host.wait_for_driver(card, "nvme");
  // The card is pulled out with its function. QEMU 10.0, as the machine that the host is, dies of that.
  const Json version = host.host.await(host.host.machine().execute("query-version"));
  if (version.at("qemu").at("major").as_int() >= 10) return;
  host.host.output_of("echo 1 >" + folder + "/sriov_numvfs");
  host.wait_for_cards(1);
  host.host.pull("disk");
  host.wait_for_cards(0);
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

TEST_CASE("a driver that does not let go is given up, and a service that dies meanwhile leaves a journal") {
  PciHost host;
  const std::string disk = host.plug_card("nvme", "disk", "rp0");
  host.wait_for_driver(disk, "nvme");
  host.start_vm("a", port);
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

TEST_CASE("a card that a VM starts with is the VM's from the beginning, and the host's again when there is no VM") {
  PciHost host;
  const std::string card = host.plug_card("e1000e", "one", "rp0");
  host.wait_for_driver(card, "e1000e");
  host.more_rules = PciHost::rules_for(PciHost::by_address(card));
  host.start_daemon("[]", {R"({"name": "a", "type": "qemu", "socket": "/run/a.qmp"})"});
  const std::string arguments =
      std::string(QEMUCTL_CLI) + " --socket " + test::HotplugHost::api_path + " vmm-args a --bus-prefix ep";
  host.start_vm("a", std::string(port) + " $(" + arguments + ")");
  CHECK(host.driver_of(card) == "vfio-pci");
  host.host.wait_until("the service knows it", [&] {
    const Json list = host.request(R"({"action": "pci_list"})");
    for (const Json& each : list.at("pci_devices").as_array())
      if (each.at("address") == Json(card)) return each.contains("vm") && !each.contains("foreign");
    return false;
  });
  host.kill_vm("a");
  host.wait_for_driver(card, "e1000e");

  // No QEMU comes, and the service does not live to see that.
  host.host.output_of(arguments);
  CHECK(host.driver_of(card) == "vfio-pci");
  host.signal_daemon("KILL");
  host.start_daemon_again();
  host.wait_for_driver(card, "e1000e");
  host.host.output_of(arguments);
  CHECK(host.driver_of(card) == "vfio-pci");
  host.signal_daemon("TERM");
  CHECK(host.driver_of(card) == "e1000e");

  // qemuctl-run does it all by itself.
  host.host.write_file("/tmp/b.json",
                       R"({"name": "b", "machine": {"type": "q35", "accel": "tcg"}, "memory": {"size": 64},
    "hotplug": {"atStart": true, "pciPassthrough": [{"allow": [{"address": ")" +
                           card + R"("}]}]}})");
  const std::string runner = std::to_string(host.host.spawn(std::string(QEMUCTL_RUN) + " /tmp/b.json", "/tmp/b.log"));
  // It looks at what its QEMU can do first, which takes its time in a VM.
  host.host.wait_until("grep -q '^state: running' /tmp/b.log", std::chrono::minutes(3));
  CHECK(host.driver_of(card) == "vfio-pci");
  const std::string pid = host.host.output_of("sed -n 's/^pid: //p' /tmp/b.log");
  CHECK_THAT(host.host.output_of("tr '\\0' ' ' </proc/" + pid + "/cmdline"),
             ContainsSubstring("\"host\":\"" + card + "\"") && ContainsSubstring("\"bus\":\"rp4\""));
  host.host.output_of(std::string(QEMUCTL_CLI) + " --pid " + pid + " vm stop");
  host.host.wait_until("! kill -0 " + runner);
  CHECK(host.driver_of(card) == "e1000e");
  CHECK(host.host.output_of(std::string("ls ") + lent).empty());

  // It is interrupted while its QEMU, which told what it can do, does not start.
  host.host.write_file("/tmp/stuck", "#!/bin/sh\ncase \"$*\" in *guest=c,*) read nothing </tmp/never;; esac\n"
                                     "exec qemu-system-x86_64 \"$@\"\n");
  host.host.output_of("mkfifo /tmp/never && chmod +x /tmp/stuck");
  host.host.output_of(R"(sed 's|{"name": "b"|{"name": "c", "qemuPath": "/tmp/stuck"|' /tmp/b.json >/tmp/c.json)");
  const std::string stuck = std::to_string(host.host.spawn(std::string(QEMUCTL_RUN) + " /tmp/c.json", "/tmp/c.log"));
  host.host.wait_until("test /sys/bus/pci/devices/" + card + "/driver -ef /sys/bus/pci/drivers/vfio-pci",
                       std::chrono::minutes(3));
  host.host.output_of("kill -INT " + stuck);
  host.host.wait_until("! kill -0 " + stuck);
  CHECK(host.driver_of(card) == "e1000e");
  CHECK(host.host.output_of(std::string("ls ") + lent).empty());
}

TEST_CASE("a card that a VM was to start with is given back at once when the VM does not start") {
  PciHost host;
  const std::string card = host.plug_card("e1000e", "one", "rp0");
  host.wait_for_driver(card, "e1000e");
  // What is wrong with it only QEMU sees, when the card is prepared.
  host.host.write_file("/tmp/b.json", R"({"name": "b", "machine": {"type": "q35", "accel": "tcg"}, "memory": 64,
    "extraArgs": ["-device", "no-such-device"], "hotplug": {"atStart": true}})");
  host.more_rules = parse_json(R"({"pciPassthrough": [{"targetVm": "b", "allow": [{"address": ")" + card + R"("}]}]})");
  host.start_daemon("[]", {R"({"name": "b", "config": "/tmp/b.json"})"});
  // The service looks at what its QEMU can do first, which takes its time in a VM.
  const test::CommandResult started = host.host.run(
      std::string(QEMUCTL_CLI) + " --socket " + test::HotplugHost::api_path + " vm start b", std::chrono::minutes(3));
  CHECK(started.status == 1);
  CHECK_THAT(started.output, ContainsSubstring("no-such-device"));
  host.wait_for_log(card + ": vfio-pci has it now");
  host.wait_for_driver(card, "e1000e", std::chrono::seconds(20)); // it is not kept for a QEMU that may still come
  host.host.wait_until(std::string("test -z \"$(ls ") + lent + ")\"");
  host.signal_daemon("TERM");

  host.host.write_file("/tmp/rules.json", host.more_rules.dump());
  const test::CommandResult run =
      host.host.run(std::string(QEMUCTL_RUN) + " -v /tmp/b.json --hotplug /tmp/rules.json", std::chrono::minutes(3));
  CHECK(run.status == 1);
  CHECK_THAT(run.output, ContainsSubstring("no-such-device") && ContainsSubstring(card + " is back with the host"));
  CHECK(host.driver_of(card) == "e1000e");
  CHECK(host.host.output_of(std::string("ls ") + lent).empty());
}

TEST_CASE("a card goes to its VM when udev is through with the node of its group") {
  PciHost host;
  const std::string card = host.plug_card("e1000e", "one", "rp0");
  host.wait_for_driver(card, "e1000e");
  host.start_vm("a", port);
  host.more_rules = PciHost::rules_for(PciHost::by_address(card));
  host.host.output_of("modprobe -a vfio-pci vfio_iommu_type1 && udevadm settle");
  host.start_daemon("[]"); // without -a, so what is there stays with the host
  host.host.output_of("udevadm control --stop-exec-queue");
  host.host.spawn(std::string(QEMUCTL_CLI) + " --socket " + test::HotplugHost::api_path + " pci attach " + card,
                  "/tmp/attached");
  host.host.wait_until("grep -q 'udev has not set up /dev/vfio/' /tmp/attached");
  CHECK(host.host.output_of("grep -c 'has " + card + " .* now, as' /tmp/daemon.log || true") == "0");
  host.host.output_of("udevadm control --start-exec-queue");
  host.wait_for_driver(card, "e1000e");
  CHECK_THAT(host.host.output_of(std::string(QEMUCTL_CLI) + " --socket " + test::HotplugHost::api_path +
                                 " pci attach " + card),
             ContainsSubstring("is in VM a now"));
}

TEST_CASE("a service that is to end while the kernel changes a driver leaves the card with the host") {
  PciHost host;
  const std::string card = host.plug_card("e1000e", "one", "rp0");
  host.wait_for_driver(card, "e1000e");
  host.start_vm("a", port);
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

TEST_CASE("people move cards and input devices by the device API") {
  PciHost host;
  const std::string card = host.plug_card("e1000e", "one", "rp0");
  host.wait_for_driver(card, "e1000e");
  host.host.output_of("modprobe -a uinput evdev");
  host.host.spawn(QEMUCTL_INPUT_DEVICE " make 'Virtual Keys'", "/tmp/keyboard.log");
  host.host.wait_until("grep -q ready /tmp/keyboard.log");
  host.start_vm("a", two_ports);
  host.more_rules = PciHost::rules_for(PciHost::by_address(card));
  host.more_rules.set("evdevPassthrough", parse_json(R"([{"targetVm": "a", "allow": [{"name": "virtual keys"}]}])"));
  host.start_daemon("[]"); // without -a, so what is there stays with the host
  const std::string qemuctl = std::string(QEMUCTL_CLI) + " --socket " + test::HotplugHost::api_path + " ";
  CHECK_THAT(host.host.output_of(qemuctl + "pci list"), ContainsSubstring("was plugged in before the service"));
  CHECK_THAT(host.host.output_of(qemuctl + "evdev attach 'virtual keys'"), ContainsSubstring("is in VM a now"));
  CHECK_THAT(host.host.output_of(qemuctl + "pci attach " + card), ContainsSubstring("is in VM a now"));
  CHECK(host.driver_of(card) == "vfio-pci");
  CHECK(host.host.ids_of(host.vm("a"), "vfio-pci").size() == 1);
  CHECK(host.host.ids_of(host.vm("a"), "virtio-input-host-pci").size() == 1);

  // The VM has no guest that could let go of it; a reset does.
  host.host.spawn(qemuctl + "pci detach " + card, "/tmp/detached");
  host.wait_for_log("VM a: deleting pcihost");
  host.reset_vm("a");
  host.host.wait_until("grep -q 'is out, until somebody attaches it' /tmp/detached");
  host.wait_for_driver(card, "e1000e");
  CHECK(host.request(R"({"action": "pci_list", "disconnected": true})").at("pci_devices").size() == 1);
}

TEST_CASE("a card has the ROM file that a request of webvirt's names, and is left alone when there is no such file") {
  PciHost host;
  const std::string card = host.plug_card("e1000e", "one", "rp0");
  host.wait_for_driver(card, "e1000e");
  host.start_vm("a", port);
  host.host.output_of("mkdir /tmp/templates; head -c 1024 /dev/zero >/tmp/patched.rom");
  host.host.write_file("/tmp/templates/rom.xml", R"(<hostdev mode='subsystem' type='pci' managed='yes'><source>
    <address domain='0x0000' bus='0x$BUS' slot='0x00' function='0x0'/><rom file="$ROM"/></source></hostdev>)");
  host.more_rules = PciHost::rules_for(PciHost::by_address(card));
  host.more_rules.set("general", parse_json(R"({"statePath": "/tmp/state/hotplug.state",
    "api": {"enable": true, "transports": ["unix"], "unixSocket": ")" +
                                            std::string(test::HotplugHost::api_path) + R"("},
    "rest": {"enable": true, "webvirtCompat": true, "devicesDir": "/tmp/templates"}})"));
  host.start_daemon("[]"); // without -a, so what is there stays with the host
  const auto attach = [&](const std::string& rom) {
    return host.host.output_of("curl -s 'http://127.0.0.1:5000/api/0/attach/a/rom?bus=" + card.substr(5, 2) +
                               "&rom=" + rom + "'");
  };
  CHECK_THAT(attach("/tmp/other.rom"), ContainsSubstring("No such file"));
  CHECK(host.driver_of(card) == "e1000e");
  CHECK_THAT(attach("/tmp/patched.rom"), ContainsSubstring("attached"));
  const auto rom_of_card = [&] {
    Json arguments;
    arguments.set("path", "/machine/peripheral/" + host.host.ids_of(host.vm("a"), "vfio-pci").at(0));
    arguments.set("property", "romfile");
    return host.host.execute(host.vm("a"), "qom-get", arguments);
  };
  CHECK(rom_of_card() == Json("/tmp/patched.rom"));
  host.kill_vm("a");
  host.wait_for_driver(card, "e1000e");
  host.start_vm("a", port);
  host.wait_for_cards(1);
  CHECK(rom_of_card() == Json("/tmp/patched.rom"));
}

TEST_CASE("a guest sees the cards that come, and lets go of them when it is asked to") {
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
