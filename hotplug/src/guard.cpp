// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "guard.hpp"

#include <qemuctl/file_descriptor.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <sstream>
#include <string_view>
#include <system_error>
#include <vector>

namespace hotplug::detail {

namespace fs = std::filesystem;

namespace {

std::vector<fs::path> entries(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code ec;
  for (fs::directory_iterator entry(folder, ec), end; !ec && entry != end; entry.increment(ec))
    found.push_back(entry->path());
  std::ranges::sort(found);
  return found;
}

std::string first_line(const fs::path& file) {
  std::ifstream stream(file);
  std::string line;
  std::getline(stream, line);
  return line;
}

/// Undoes the escapes in /proc, such as "\040" for a space.
std::string unescaped(const std::string& text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::string digits = text[i] == '\\' ? text.substr(i + 1, 3) : std::string();
    if (digits.size() == 3 && digits.find_first_not_of("01234567") == std::string::npos) {
      result += static_cast<char>(std::stoi(digits, nullptr, 8));
      i += 3;
    } else {
      result += text[i];
    }
  }
  return result;
}

/// A look at the host as it is now. Reads only what the device can be part of: most are neither a disk nor a network
/// interface.
class Host {
 public:
  explicit Host(fs::path root) : root_(std::move(root)) {}

  std::string use_of(const std::string& sys_path) {
    const std::vector<std::string> disks = disks_of(sys_path);
    if (!disks.empty()) {
      read_mounts();
      read_swaps();
    }
    for (const std::string& disk : disks)
      if (std::string use = use_of_disk(disk, disk, 0); !use.empty()) return use;
    const std::vector<std::string> interfaces = below(root_ / "sys/class/net", sys_path);
    if (!interfaces.empty()) read_default_routes();
    for (const std::string& interface : interfaces)
      if (std::string use = use_of_interface(interface, 0); !use.empty()) return use;
    return {};
  }

  /// Disks and partitions, by their names.
  std::vector<std::string> disks_of(const std::string& sys_path) const {
    const fs::path blocks = root_ / "sys/class/block";
    std::vector<std::string> disks = below(blocks, sys_path);
    // Disks that NVMe controllers share are not below any of them.
    for (const fs::path& link : entries(root_ / "sys/class/nvme-subsystem")) {
      std::error_code ec;
      const fs::path subsystem = fs::canonical(link, ec); // the links in it begin there
      for (const std::string& name : below(subsystem, sys_path)) {
        if (!name.starts_with("nvme") || name.find('n', 4) != std::string::npos) continue;
        for (std::string& disk : below(blocks, "/" + subsystem.lexically_relative(root_).string()))
          disks.push_back(std::move(disk));
      }
    }
    return disks;
  }

 private:
  /// Limits how deep devices are built on devices, whatever sysfs says.
  static constexpr int max_depth = 16;

  /// The names of those links in a class's folder that lead below a device.
  std::vector<std::string> below(const fs::path& folder, const std::string& sys_path) const {
    const std::string above = (root_ / sys_path.substr(1)).lexically_normal().string() + "/";
    std::vector<std::string> names;
    for (const fs::path& link : entries(folder)) {
      std::error_code ec;
      const fs::path target = (folder / fs::read_symlink(link, ec)).lexically_normal();
      if (!ec && target.string().starts_with(above)) names.push_back(link.filename().string());
    }
    return names;
  }

  std::string use_of_disk(const std::string& name, const std::string& base, int depth) const {
    const std::string via = name == base ? "/dev/" + name : fmt::format("/dev/{} (of /dev/{})", label(name), base);
    if (const auto mount = mounts_.find(name); mount != mounts_.end())
      return fmt::format("{} is mounted on {}", via, mount->second);
    if (const auto mount = mounts_.find(first_line(root_ / "sys/class/block" / name / "dev")); mount != mounts_.end())
      return fmt::format("{} is mounted on {}", via, mount->second);
    if (swaps_.contains(name)) return fmt::format("{} is swap space", via);
    std::string part; // of several LVM volumes the one that is mounted says more
    for (const fs::path& holder : entries(root_ / "sys/class/block" / name / "holders")) {
      const std::string above = holder.filename().string();
      std::string use = depth < max_depth ? use_of_disk(above, base, depth + 1) : std::string();
      if (!use.empty()) return use;
      if (part.empty()) part = fmt::format("{} is part of {}", via, description(above));
    }
    return part;
  }

  /// "mapper/vg-home" of "dm-1".
  std::string label(const std::string& name) const {
    const std::string mapped = first_line(root_ / "sys/class/block" / name / "dm/name");
    return mapped.empty() ? name : "mapper/" + mapped;
  }

  std::string description(const std::string& name) const {
    const std::string uuid = first_line(root_ / "sys/class/block" / name / "dm/uuid");
    const char* kind = uuid.starts_with("LVM-")     ? "the LVM volume "
                       : uuid.starts_with("CRYPT-") ? "the encrypted volume "
                       : name.starts_with("md")     ? "the RAID "
                                                    : "";
    return fmt::format("{}/dev/{}", kind, label(name));
  }

  std::string use_of_interface(const std::string& name, int depth) const {
    if (default_routes_.contains(name)) return fmt::format("the default route goes through {}", name);
    if (depth >= max_depth) return {};
    for (const fs::path& link : entries(root_ / "sys/class/net" / name)) {
      const std::string above = link.filename().string();
      constexpr std::string_view begin = "upper_"; // bridges, bonds, VLANs
      if (!above.starts_with(begin)) continue;
      if (std::string use = use_of_interface(above.substr(begin.size()), depth + 1); !use.empty())
        return fmt::format("{}, which is built on {}", use, name);
    }
    return {};
  }

  /// "sdb1" of "/dev/disk/by-label/x". Nothing outside of the file system of /dev is looked at: whoever may mount
  /// something with FUSE chooses this name, which can lead to a file system that does not answer.
  std::string disk_name(const std::string& node) const {
    const fs::path path(node);
    const qemuctl::FileDescriptor dev(::open((root_ / "dev").c_str(), O_PATH | O_CLOEXEC));
    open_how how{};
    how.flags = O_PATH | O_CLOEXEC;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV;
    const std::string below = path.lexically_relative("/dev").string();
    const qemuctl::FileDescriptor file(
        static_cast<int>(::syscall(SYS_openat2, dev.get(), below.c_str(), &how, sizeof how)));
    std::error_code ec;
    const fs::path target = fs::read_symlink(fmt::format("/proc/self/fd/{}", file.get()), ec);
    return (ec ? path : target).filename().string();
  }

  void read_mounts() {
    std::ifstream file(root_ / "proc/self/mountinfo");
    for (std::string line; std::getline(file, line);) {
      // "36 35 8:17 / /home rw,noatime master:1 - ext4 /dev/sdb1 rw"
      std::istringstream words(line);
      std::string id, parent, number, below, where, word, type, source;
      words >> id >> parent >> number >> below >> where;
      while (words >> word && word != "-") {
      }
      words >> type >> source;
      mounts_.emplace(number, unescaped(where));
      // Some file systems use device numbers of their own.
      if (source.starts_with("/dev/")) mounts_.emplace(disk_name(unescaped(source)), unescaped(where));
    }
    // A btrfs mount names only one of its disks.
    for (const fs::path& file_system : entries(root_ / "sys/fs/btrfs")) {
      std::vector<std::string> disks;
      for (const fs::path& link : entries(file_system / "devices")) disks.push_back(link.filename().string());
      const auto mounted = std::ranges::find_if(disks, [&](const std::string& disk) { return mounts_.contains(disk); });
      if (mounted == disks.end()) continue;
      const std::string where = mounts_.at(*mounted);
      for (const std::string& disk : disks) mounts_.emplace(disk, where);
    }
  }

  void read_swaps() {
    std::ifstream file(root_ / "proc/swaps");
    std::string line;
    std::getline(file, line); // the heading
    while (std::getline(file, line))
      if (line.starts_with("/dev/")) swaps_.insert(disk_name(unescaped(line.substr(0, line.find_first_of(" \t")))));
  }

  void read_default_routes() {
    std::ifstream routes(root_ / "proc/net/route");
    for (std::string line; std::getline(routes, line);) {
      std::istringstream words(line);
      std::string interface, destination, gateway, flags, count, use, metric, mask;
      words >> interface >> destination >> gateway >> flags >> count >> use >> metric >> mask;
      if (destination == "00000000" && mask == "00000000") default_routes_.insert(interface);
    }
    std::ifstream routes_6(root_ / "proc/net/ipv6_route");
    for (std::string line; std::getline(routes_6, line);) {
      std::istringstream words(line);
      std::string destination, length, word, interface;
      words >> destination >> length;
      while (words >> word) interface = word;
      // The one on "lo" says that there is none.
      if (length == "00" && destination.find_first_not_of('0') == std::string::npos && interface != "lo")
        default_routes_.insert(interface);
    }
  }

  fs::path root_;
  std::map<std::string, std::string> mounts_; ///< where, by number and by name
  std::set<std::string> swaps_, default_routes_;
};

} // namespace

std::string host_use_of(const std::string& sys_path, const fs::path& root) {
  return Host(root).use_of(sys_path);
}

std::vector<std::string> block_nodes_of(const std::string& sys_path, const fs::path& root) {
  std::vector<std::string> names = Host(root).disks_of(sys_path);
  std::ranges::sort(names, std::greater()); // of two that begin alike the partition says more
  for (std::string& name : names) {
    std::ranges::replace(name, '!', '/');
    name.insert(0, "/dev/");
  }
  return names;
}

} // namespace hotplug::detail
