// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "guard.hpp"

#include "catch.hpp"
#include "claims.hpp"
#include "dead_file_system.hpp"
#include "golden.hpp"
#include "other_process.hpp"
#include "temp_dir.hpp"

#include <qemuctl/file_descriptor.hpp>

#include <fcntl.h>

#include <filesystem>
#include <string>
#include <vector>

using hotplug::detail::host_use_of;

namespace {

namespace fs = std::filesystem;

constexpr const char* controller = "/sys/devices/pci0000:00/0000:00:1f.2";

/// A host with a disk sdb (sdb1, sdb2) and a network interface eth0 below one PCI device.
struct Tree {
  Tree() {
    link("sys/class/block/sdb", "sys/devices/pci0000:00/0000:00:1f.2/ata1/block/sdb");
    link("sys/class/block/sdb1", "sys/devices/pci0000:00/0000:00:1f.2/ata1/block/sdb/sdb1");
    link("sys/class/block/sdb2", "sys/devices/pci0000:00/0000:00:1f.2/ata1/block/sdb/sdb2");
    link("sys/class/net/eth0", "sys/devices/pci0000:00/0000:00:1f.2/net/eth0");
    write("sys/class/block/sdb1/dev", "8:17\n");
    write("sys/class/block/sdb2/dev", "8:18\n");
    write("proc/swaps", "Filename Type Size Used Priority\n");
    write("proc/net/route", "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n");
  }

  /// A link as sysfs has them, to a folder.
  void link(const std::string& from, const std::string& to) {
    fs::create_directories(dir / to);
    fs::create_directories((dir / from).parent_path());
    fs::create_symlink(fs::relative(dir / to, (dir / from).parent_path()), dir / from);
  }
  void write(const std::string& file, const std::string& text) {
    fs::create_directories((dir / file).parent_path());
    test::write_file(dir / file, text);
  }
  std::string use() const { return host_use_of(controller, dir.path()); }

  test::TempDir dir;
};

} // namespace

TEST_CASE("a device that the host does not use may go") {
  Tree host;
  CHECK(host.use().empty());
  host.write("proc/self/mountinfo", "36 35 8:1 / / rw - ext4 /dev/sda1 rw\n");
  CHECK(host.use().empty());
  CHECK(host_use_of("/sys/devices/pci0000:00/0000:00:1f", host.dir.path()).empty()); // the beginning of a name
}

TEST_CASE("a mounted file system keeps its disk with the host") {
  Tree host;
  host.write("proc/self/mountinfo", "36 35 8:17 / /home/my\\040files rw master:1 - ext4 /dev/sdb1 rw\n");
  CHECK(host.use() == "/dev/sdb1 is mounted on /home/my files");
  // Those of btrfs have a number of their own.
  host.write("proc/self/mountinfo", "36 35 0:42 / /data rw - btrfs /dev/sdb2 rw\n");
  CHECK(host.use() == "/dev/sdb2 is mounted on /data");
}

TEST_CASE("a mounted disk is found whatever name it was mounted by") {
  Tree host;
  host.write("dev/sdb2", "");
  fs::create_directories(host.dir / "dev/disk/by-label");
  fs::create_symlink("../../sdb2", host.dir / "dev/disk/by-label/data");
  host.write("proc/self/mountinfo", "36 35 0:42 / /data rw - btrfs /dev/disk/by-label/data rw\n");
  CHECK(host.use() == "/dev/sdb2 is mounted on /data");
}

TEST_CASE("a file system that does not answer delays nobody who asks what the host uses") {
  Tree host;
  test::DeadFileSystem dead(host.dir / "mnt");
  host.write("dev/sdb2", "");
  // Who mounts with FUSE chooses the name.
  host.write("proc/self/mountinfo", "36 35 0:42 / /home/me rw - fuse /dev/../mnt/disk rw\n"
                                    "37 35 0:43 / /data rw - btrfs /dev/sdb2 rw\n");
  std::string use;
  CHECK(dead.lets_end([&] { use = host.use(); }));
  CHECK(use == "/dev/sdb2 is mounted on /data");
}

TEST_CASE("a process with a file of a file system that does not answer delays nobody who looks for a device's users") {
  const test::TempDir dir;
  test::DeadFileSystem dead(dir / "mnt");
  qemuctl::FileDescriptor file(::open((dir / "mnt").c_str(), O_PATH | O_CLOEXEC)),
      device(::open("/dev/full", O_RDONLY));
  REQUIRE(file);
  const test::OtherProcess other("reader");
  file.reset();
  device.reset();
  std::vector<hotplug::detail::DeviceUser> users;
  CHECK(dead.lets_end([&] { users = hotplug::detail::users_of("/dev/full"); }));
  REQUIRE(users.size() == 1);
  CHECK(users[0].pid == other.pid());
  CHECK(users[0].command == "reader");
}

TEST_CASE("a mounted file system on several disks keeps each of them with the host") {
  Tree host;
  host.link("sys/fs/btrfs/1234/devices/sda1", "sys/devices/pci0000:00/0000:00:1f.1/ata1/block/sda/sda1");
  host.link("sys/fs/btrfs/1234/devices/sdb2", "sys/devices/pci0000:00/0000:00:1f.2/ata1/block/sdb/sdb2");
  CHECK(host.use().empty());
  host.write("proc/self/mountinfo", "36 35 0:42 / /data rw - btrfs /dev/sda1 rw\n");
  CHECK(host.use() == "/dev/sdb2 is mounted on /data");
}

TEST_CASE("the nodes of a device's disks are known, those that say most first") {
  Tree host;
  host.link("sys/class/block/cciss!c0d0", "sys/devices/pci0000:00/0000:00:1f.2/block/cciss!c0d0");
  CHECK(hotplug::detail::block_nodes_of(controller, host.dir.path()) ==
        std::vector<std::string>{"/dev/sdb2", "/dev/sdb1", "/dev/sdb", "/dev/cciss/c0d0"});
}

TEST_CASE("a mounted file system on a shared NVMe disk keeps each of its controllers with the host") {
  Tree tree;
  const std::string subsystem = "sys/devices/virtual/nvme-subsystem/nvme-subsys0";
  tree.link("sys/class/nvme-subsystem/nvme-subsys0", subsystem);
  tree.link(subsystem + "/nvme0", "sys/devices/pci0000:00/0000:00:1f.2/nvme/nvme0");
  tree.link("sys/class/block/nvme0n1", subsystem + "/nvme0n1");
  tree.write("proc/self/mountinfo", "36 35 259:0 / /data rw - ext4 /dev/nvme0n1 rw\n");
  CHECK(tree.use() == "/dev/nvme0n1 is mounted on /data");
}

TEST_CASE("swap space keeps its disk with the host") {
  Tree host;
  host.write("proc/swaps", "Filename Type Size Used Priority\n/dev/sdb2 partition 1 0 -2\n");
  CHECK(host.use() == "/dev/sdb2 is swap space");
}

TEST_CASE("a device built on a disk keeps the disk with the host") {
  Tree host;
  host.link("sys/class/block/dm-0", "sys/devices/virtual/block/dm-0");
  host.link("sys/class/block/sdb2/holders/dm-0", "sys/devices/virtual/block/dm-0");
  host.write("sys/class/block/dm-0/dm/name", "vg-home\n");
  host.write("sys/class/block/dm-0/dm/uuid", "LVM-abc\n");
  host.write("sys/class/block/dm-0/dev", "253:0\n");
  CHECK(host.use() == "/dev/sdb2 is part of the LVM volume /dev/mapper/vg-home");
  host.write("proc/self/mountinfo", "36 35 253:0 / /home rw - ext4 /dev/mapper/vg-home rw\n");
  CHECK(host.use() == "/dev/mapper/vg-home (of /dev/sdb2) is mounted on /home");
  // Of several volumes the one that is mounted is named.
  host.link("sys/class/block/sdb2/holders/dm-1", "sys/devices/virtual/block/dm-1");
  host.write("sys/class/block/dm-1/dm/name", "vg-var\n");
  host.write("sys/class/block/dm-1/dev", "253:1\n");
  host.write("proc/self/mountinfo", "36 35 253:1 / /var rw - ext4 /dev/mapper/vg-var rw\n");
  CHECK(host.use() == "/dev/mapper/vg-var (of /dev/sdb2) is mounted on /var");
  fs::remove(host.dir / "sys/class/block/sdb2/holders/dm-1");
  host.write("proc/self/mountinfo", "");
  host.write("sys/class/block/dm-0/dm/name", "secret\n");
  host.write("sys/class/block/dm-0/dm/uuid", "CRYPT-LUKS2-abc-secret\n");
  CHECK(host.use() == "/dev/sdb2 is part of the encrypted volume /dev/mapper/secret");
  fs::remove(host.dir / "sys/class/block/sdb2/holders/dm-0");
  host.link("sys/class/block/md0", "sys/devices/virtual/block/md0");
  host.link("sys/class/block/sdb1/holders/md0", "sys/devices/virtual/block/md0");
  CHECK(host.use() == "/dev/sdb1 is part of the RAID /dev/md0");
}

TEST_CASE("the default route keeps its interface with the host, even through a bridge") {
  Tree host;
  host.write("proc/net/route", "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
                               "eth0 0000A8C0 00000000 0001 0 0 0 00FFFFFF 0 0 0\n");
  CHECK(host.use().empty());
  host.write("proc/net/route", "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
                               "eth0 00000000 0100A8C0 0003 0 0 0 00000000 0 0 0\n");
  CHECK(host.use() == "the default route goes through eth0");
  host.write("proc/net/route", "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
                               "br0 00000000 0100A8C0 0003 0 0 0 00000000 0 0 0\n");
  host.link("sys/class/net/br0", "sys/devices/virtual/net/br0");
  host.link("sys/class/net/eth0/upper_br0", "sys/devices/virtual/net/br0");
  CHECK(host.use() == "the default route goes through br0, which is built on eth0");
  host.write("proc/net/route", "");
  host.write("proc/net/ipv6_route", "00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
                                    "fe800000000000000000000000000001 00000064 00000001 00000000 00000003 eth0\n");
  CHECK(host.use() == "the default route goes through eth0");
}
