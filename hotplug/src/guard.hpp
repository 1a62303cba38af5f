// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace hotplug::detail {

/// What the host would lose if it lost the device at this path of /sys: "/dev/sdb1 is mounted on /home". Empty: nothing
/// that is known here.
///
/// Looked at are file systems that this process sees, those of btrfs on several disks, swap space, and what LVM, LUKS,
/// MD and others build on its disks; and whether its network interfaces, or what is built on them, have a default
/// route. `root` is where /sys, /proc and /dev are.
std::string host_use_of(const std::string& sys_path, const std::filesystem::path& root = "/");

/// The nodes of the disks and partitions of the device at this path of /sys, partitions first.
std::vector<std::string> block_nodes_of(const std::string& sys_path, const std::filesystem::path& root = "/");

} // namespace hotplug::detail
