// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace hotplug::detail {

/// What the host uses the device at this sysfs path for: "/dev/sdb1 is mounted on /home". Empty: nothing known here.
///
/// Considers the file systems that this process sees, btrfs on several disks, swap space, and whatever LVM, LUKS, MD
/// and others build on its disks; and whether its network interfaces, or what is built on them, carry a default route.
/// `root` is the parent of /sys, /proc and /dev.
std::string host_use_of(const std::string& sys_path, const std::filesystem::path& root = "/");

/// The nodes of the disks and partitions of the device at this path of /sys, partitions first.
std::vector<std::string> block_nodes_of(const std::string& sys_path, const std::filesystem::path& root = "/");

} // namespace hotplug::detail
