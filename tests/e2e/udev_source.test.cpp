// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "golden.hpp"
#include "host_vm.hpp"

#include <algorithm>
#include <map>
#include <sstream>

using namespace qemuctl;

namespace {

Json usb(const char* driver, const char* id, const char* port) {
  return Json::object({{"driver", driver}, {"id", id}, {"port", port}});
}

std::string sys(const std::string& name) {
  return "/sys/bus/usb/devices/" + name;
}

/// A program in the host that prints what a `hotplug::UdevSource` tells.
class Probe {
 public:
  /// Returns when it listens. `wrapper`: a command to run it with.
  explicit Probe(test::HostVm& host, const std::string& wrapper = {})
      : host_(host), pid_(host.spawn(wrapper + " " QEMUCTL_UDEV_PROBE, "/tmp/events")) {
    host_.wait_until("grep -q snapshot /tmp/events");
  }

  int pid() const { return pid_; }

  std::vector<Json> events() {
    std::vector<Json> all;
    std::istringstream lines(host_.output_of("cat /tmp/events"));
    for (std::string line; std::getline(lines, line);) all.push_back(parse_json(line));
    return all;
  }

  /// The devices that are there as somebody knows who followed the events, by the name in sysfs.
  std::map<std::string, Json> devices() {
    std::map<std::string, Json> there;
    const auto add = [&](const Json& device) { there[device.at("sysName").as_string()] = device; };
    for (const Json& event : events()) {
      const std::string& what = event.at("event").as_string();
      if (what == "removed") {
        std::erase_if(there, [&](const auto& entry) { return entry.second.at("sysPath") == event.at("sysPath"); });
      } else if (what == "arrived") {
        add(event.at("device"));
      } else {
        there.clear();
        for (const Json& device : event.at("devices").as_array()) add(device);
      }
    }
    return there;
  }

  /// Until these and no others are there.
  void wait_for_devices(const std::vector<std::string>& names) {
    host_.wait_until("the devices that were plugged in are told of", [&] {
      const auto there = devices();
      return std::ranges::equal(there, names, {}, [](const auto& entry) { return entry.first; });
    });
  }

  /// How many times it was told of everything.
  std::size_t snapshots() {
    const auto all = events();
    return static_cast<std::size_t>(
        std::ranges::count_if(all, [](const Json& event) { return event.at("event").as_string() == "snapshot"; }));
  }

 private:
  test::HostVm& host_;
  int pid_;
};

} // namespace

TEST_CASE("real devices are reported with all of their properties, and hubs are not") {
  test::HostVm host;
  host.add_disk("disk");
  Json stick = usb("usb-storage", "stick", "3");
  stick.set("drive", "disk").set("serial", "4711");
  host.plug(stick);
  host.plug(usb("usb-hub", "hub", "1"));
  host.wait_for_device(sys("1-1"));
  // Two that cannot be told apart but by where they are.
  for (const char* port : {"1.1", "1.2"}) {
    Json tablet = usb("usb-tablet", port[2] == '1' ? "first" : "second", port);
    tablet.set("serial", "same");
    host.plug(tablet);
  }
  for (const char* name : {"2-3", "1-1.1", "1-1.2"}) host.wait_for_device(sys(name));

  Probe probe(host);
  probe.wait_for_devices({"1-1.1", "1-1.2", "2-3"});
  auto devices = probe.devices();
  const Json disk = devices["2-3"], first = devices["1-1.1"], second = devices["1-1.2"];
  const std::string controller = host.output_of("basename $(dirname $(readlink -f " + sys("usb1") + "))");

  CHECK(disk.at("sysPath").as_string() == host.output_of("readlink -f " + sys("2-3")));
  CHECK(disk.at("deviceNode").as_string() == "/dev/bus/usb/002/00" + host.output_of("cat " + sys("2-3/devnum")));
  CHECK(disk.at("portPath").as_string() == "2-3");
  CHECK(disk.at("peerPath").as_string() == "1-3");
  CHECK(disk.at("vendorId").as_string() == "46f4");
  CHECK(disk.at("productId").as_string() == "0001");
  CHECK(disk.at("vendorName").as_string() == "QEMU");
  CHECK(disk.at("productName").as_string() == "QEMU USB HARDDRIVE");
  CHECK(disk.at("serial").as_string() == "4711");
  CHECK(disk.at("speed").as_double() == 5000);
  CHECK(disk.at("controller").as_string() == controller);
  CHECK(disk.at("interfaces").dump() == R"(["080650"])");
  CHECK(disk.at("connector").as_string() == controller + "/3");

  CHECK(first.at("portPath").as_string() == "1-1.1");
  CHECK(first.at("speed").as_double() == 12);
  CHECK(first.at("interfaces").dump() == R"(["030000"])");
  CHECK(first.at("connector").as_string() == controller + "/1.1");
  CHECK(second.at("connector").as_string() == controller + "/1.2");
  for (const char* same : {"vendorId", "productId", "identitySerial", "fingerprint"})
    CHECK(first.at(same) == second.at(same));

  // The other side of the disk's connector is the same connector.
  host.pull("stick");
  host.plug(usb("usb-kbd", "keyboard", "3"));
  host.pull("hub"); // with its children
  probe.wait_for_devices({"1-3"});
  devices = probe.devices();
  CHECK(devices["1-3"].at("connector").as_string() == controller + "/3");
  CHECK(devices["1-3"].at("peerPath").as_string() == "2-3");
  CHECK(probe.snapshots() == 1);
}

TEST_CASE("a device is reported once udev has processed it, not when the kernel announces it") {
  test::HostVm host;
  Probe probe(host);
  host.output_of("udevadm control --stop-exec-queue");
  host.spawn("udevadm monitor --kernel --subsystem-match=usb", "/tmp/kernel");
  host.wait_until("grep -q KERNEL /tmp/kernel");
  host.plug(usb("usb-tablet", "tablet", "3"));
  host.wait_until("grep -q 'add .*/1-3 ' /tmp/kernel");
  CHECK(probe.devices().empty());
  host.output_of("udevadm control --start-exec-queue");
  probe.wait_for_devices({"1-3"});
}

TEST_CASE("a device that is not authorised has the interfaces in its descriptors") {
  test::HostVm host;
  host.add_disk("disk");
  Json stick = usb("usb-storage", "stick", "1");
  stick.set("drive", "disk");
  host.plug(stick);
  host.wait_for_device(sys("2-1"));
  host.output_of("echo 0 >" + sys("2-1/authorized"));
  CHECK(host.run("ls -d " + sys("2-1:*")).status != 0);
  Probe probe(host);
  const Json device = probe.devices()["2-1"];
  CHECK_FALSE(device.at("authorized").as_bool());
  CHECK(device.at("interfaces").dump() == R"(["080650"])");
  CHECK(device.at("productName").as_string() == "QEMU USB HARDDRIVE");
}

TEST_CASE("a device that switches its mode is reported as gone and as new, in the same place") {
  test::HostVm host;
  Probe probe(host);
  host.output_of((test::source_dir() / "tests/e2e/gadget").string() + " bare");
  probe.wait_for_devices({"3-1"});
  const Json before = probe.devices()["3-1"];
  // What a modem does that was a disk at first: it goes, and comes back as something else.
  host.output_of(
      "cd /sys/kernel/config/usb_gadget/bare && controller=$(cat UDC) && echo >UDC && echo 0x0108 >idProduct && "
      "echo $controller >UDC");
  host.wait_until("the device is another one", [&] {
    const auto there = probe.devices();
    return there.contains("3-1") && there.at("3-1").at("productId").as_string() == "0108";
  });
  const Json after = probe.devices()["3-1"];
  CHECK(after.at("connector") == before.at("connector"));
  CHECK(after.at("fingerprint") != before.at("fingerprint"));
  CHECK(after.at("address") != before.at("address"));
  const auto events = probe.events();
  CHECK(std::ranges::any_of(events, [](const Json& event) { return event.at("event").as_string() == "removed"; }));
}

TEST_CASE("when the kernel had to drop events, the devices are enumerated again") {
  test::HostVm host;
  host.plug(usb("usb-tablet", "before", "1"));
  host.wait_for_device(sys("1-1"));
  // Room for about ten events; who may administrate networks takes what it likes.
  host.output_of("echo 16384 >/proc/sys/net/core/rmem_max");
  Probe probe(host, "setpriv --bounding-set -net_admin");
  probe.wait_for_devices({"1-1"});

  host.output_of("kill -STOP " + std::to_string(probe.pid()));
  host.plug(usb("usb-kbd", "during", "2"));
  host.wait_for_device(sys("1-2"));
  host.output_of("for i in $(seq 50); do echo change >" + sys("usb1/uevent") + "; done; udevadm settle");
  // These two are lost.
  host.pull("before");
  host.wait_for_removal(sys("1-1"));
  host.plug(usb("usb-mouse", "last", "3"));
  host.wait_for_device(sys("1-3"));
  host.output_of("kill -CONT " + std::to_string(probe.pid()));
  probe.wait_for_devices({"1-2", "1-3"});
  CHECK(probe.snapshots() == 2);

  host.pull("during");
  probe.wait_for_devices({"1-3"});
  CHECK(probe.snapshots() == 2);
}

TEST_CASE("no event of a burst is lost") {
  test::HostVm host;
  host.plug(usb("usb-tablet", "tablet", "1"));
  host.wait_for_device(sys("1-1"));
  Probe probe(host);
  host.output_of("kill -STOP " + std::to_string(probe.pid()));
  host.output_of("for i in $(seq 200); do echo change >" + sys("1-1/uevent") + "; done; udevadm settle --timeout=100",
                 test::HostVm::patience * 2);
  host.output_of("kill -CONT " + std::to_string(probe.pid()));
  host.wait_until("test $(grep -c arrived /tmp/events) = 200");
  CHECK(probe.snapshots() == 1);
}
