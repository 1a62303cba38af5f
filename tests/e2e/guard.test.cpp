// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "hotplug_host.hpp"
#include "temp_dir.hpp"

#include <filesystem>
#include <fstream>
#include <string>

using namespace qemuctl;

TEST_CASE("a disk stays with the host while it is mounted there") {
  const test::TempDir dir;
  const std::string file = (dir / "disk").string();
  std::ofstream(file).close();
  std::filesystem::resize_file(file, 4 << 20);
  test::HotplugHost host;
  host.host.await(host.host.machine().execute(
      "blockdev-add", Json::object({{"driver", "file"}, {"node-name", "disk"}, {"filename", file}})));
  host.host.plug(Json::object({{"driver", "usb-storage"}, {"id", "stick"}, {"port", "3"}, {"drive", "disk"}}));
  host.host.wait_until("ls /sys/bus/usb/devices/2-3:1.0/host*/target*/*/block");
  const std::string disk =
      "/dev/" + host.host.output_of("basename /sys/bus/usb/devices/2-3:1.0/host*/target*/*/block/*");
  host.host.wait_for_device(disk);
  host.host.output_of("mkfs.ext4 -q " + disk + " && mkdir /tmp/files");
  host.start_vm("a");
  // The service does not see what is mounted in another namespace, such as a container's.
  const std::string container = std::to_string(
      host.host.spawn("unshare -m sh -c 'mount " + disk + " /tmp/files && exec sleep 1000'", "/tmp/container.log"));
  host.host.wait_until("grep -q /tmp/files /proc/" + container + "/mountinfo");
  const std::string rules = R"([{"targetVm": "a", "allow": [{"interfaceClass": 8}]}])";
  host.start_daemon(rules, {}, "-a");
  host.host.wait_until("grep -q 'the host uses it: the kernel has " + disk + " in use' /tmp/daemon.log");
  host.wait_for("2-3", "");
  host.host.output_of("kill " + container);
  host.host.wait_until("mount " + disk + " /tmp/files && ! test -e /proc/" + container);
  host.write_config(rules);
  host.host.wait_until("grep -q 'the host uses it: " + disk + " is mounted on /tmp/files' /tmp/daemon.log");
  host.wait_for("2-3", "");
  // The kernel tells of it, so that nobody has to wait for the next attempt.
  host.host.output_of("umount /tmp/files");
  host.wait_for("2-3", "a");
}
