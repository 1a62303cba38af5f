// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace qemuctl {

/// The machine type and what executes the guest's instructions.
struct MachineConfig {
  /// QEMU's machine type: "q35", "pc", "virt", "pc-q35-7.2". Empty: "q35" on x86, "virt" on ARM and RISC-V, QEMU's
  /// default elsewhere.
  std::string type;
  /// "auto", "kvm", "tcg". `auto` uses KVM when a VM really starts with it and TCG otherwise, with a warning.
  std::string accel = "auto";
  bool operator==(const MachineConfig&) const = default;
};

struct CpuConfig {
  std::string model;                 ///< empty: "host" under KVM, else "max" where QEMU has it, else QEMU's default
  std::vector<std::string> features; ///< QEMU's words: "+ssse3", "-svm", "pmu=off"
  int sockets = 0;                   ///< each 0 (unset, counts as 1) to 4096; so is their product
  int cores = 0;
  int threads = 0;
  bool operator==(const CpuConfig&) const = default;

  /// Virtual CPUs: the product of the three.
  int count() const noexcept { return (sockets ? sockets : 1) * (cores ? cores : 1) * (threads ? threads : 1); }
};

struct MemoryConfig {
  std::uint64_t size_mib = 512; ///< MiB, at least 1
  bool operator==(const MemoryConfig&) const = default;
};

struct BootConfig {
  std::string order;        ///< QEMU's letters: "c" disk, "d" CD-ROM, "n" network
  std::optional<bool> menu; ///< the firmware's boot menu
  bool strict = false;      ///< boot only from devices with a boot index
  std::string kernel;       ///< path; direct kernel boot
  std::string initrd;       ///< path; needs `kernel`
  std::string append;       ///< the kernel's command line; needs `kernel`
  bool operator==(const BootConfig&) const = default;
};

/// A disk image in a file.
struct FileDiskBackend {
  std::string path;
  /// "raw", "qcow2", "vmdk", ... Empty: what the path ends with (.qcow2, .vmdk, .vdi, .vhdx), otherwise "raw". The file
  /// itself is not asked: a guest could have written anything into it.
  std::string format;
  bool operator==(const FileDiskBackend&) const = default;
};

struct DiskConfig {
  std::string id; ///< empty: "disk0", "disk1", ...
  FileDiskBackend backend;
  std::string interface = "virtio"; ///< "virtio"
  bool read_only = false;
  std::string serial;            ///< what the guest sees as serial number, at most 20 bytes
  std::optional<int> boot_index; ///< 0 is first
  bool operator==(const DiskConfig&) const = default;
};

/// User-mode NAT.
struct UserNetBackend {
  std::vector<std::string> host_forwards; ///< QEMU's `hostfwd`: "tcp::2222-:22"
  bool restrict = false;                  ///< the guest reaches nothing but the forwards
  bool operator==(const UserNetBackend&) const = default;
};

struct NetworkConfig {
  std::string id; ///< empty: "net0", "net1", ...
  UserNetBackend backend;
  std::string model = "virtio-net-pci"; ///< QEMU's device; "virtio" means virtio-net-pci
  std::string mac_address;              ///< empty: QEMU chooses
  bool operator==(const NetworkConfig&) const = default;
};

struct VncConfig {
  /// "none": no listening socket, clients come by `Instance::add_vnc_client`; ":N" (0 to 99): display N, TCP port
  /// 5900 + N on all addresses; "HOST:PORT": that TCP port (5900 to 65535), an IPv6 address in brackets.
  std::string listen = "none";
  bool password = false; ///< clients need a password, set by `Instance::set_vnc_password`; none is accepted before
  bool operator==(const VncConfig&) const = default;
};

struct DisplayConfig {
  std::string type = "none"; ///< "none" or "vnc"
  VncConfig vnc;             ///< for type "vnc"
  /// QEMU's device: "VGA", "virtio-vga", ..., or one of "vga", "cirrus", "qxl", "virtio"; empty or "none": none.
  std::string video;
  bool operator==(const DisplayConfig&) const = default;
};

/// A serial port of the guest.
struct SerialConfig {
  /// The chardev: "socket" (a Unix socket QEMU listens on, its path by default `<socketDir>/<name>.serialN`),
  /// "file", "pty", "null".
  std::string type = "socket";
  std::string path; ///< for "socket" and "file"
  bool operator==(const SerialConfig&) const = default;
};

struct UsbControllerConfig {
  std::string type = "qemu-xhci"; ///< QEMU's device; an xHCI controller gets 15 + 15 ports
  bool operator==(const UsbControllerConfig&) const = default;
};

struct UsbDeviceConfig {
  std::string type; ///< "usb-tablet", "usb-mouse", "usb-kbd"
  bool operator==(const UsbDeviceConfig&) const = default;
};

/// A virtual machine as a person describes it. Plain data: nothing is checked or opened here.
struct VmConfig {
  /// 1 to 64 characters, letters, digits, `-`, `_`, `.`, the first a letter or digit; it names sockets and files.
  /// Empty: "vm-" and eight random hexadecimal digits.
  std::string name;
  std::string arch;       ///< GOARCH style: "amd64", "arm64", ...; empty: the host's. See `qemu_binary_name`.
  std::string qemu_path;  ///< QEMU's binary; empty: searched, see `find_qemu`
  std::string socket_dir; ///< for sockets and logs; empty: see `default_socket_dir`
  MachineConfig machine;
  CpuConfig cpu;
  MemoryConfig memory;
  BootConfig boot;
  std::vector<DiskConfig> disks;
  std::vector<NetworkConfig> networks;
  DisplayConfig display;
  std::vector<SerialConfig> serials;
  std::optional<UsbControllerConfig> usb; ///< added by itself when `usb_devices` need one
  std::vector<UsbDeviceConfig> usb_devices;
  bool no_defaults = true;             ///< QEMU's own default devices are left out
  std::vector<std::string> extra_args; ///< appended to QEMU's command line as they are
  bool operator==(const VmConfig&) const = default;
};

/// Where sockets and logs go when nothing else is said: `/var/run/qemu` for root, otherwise `$XDG_CACHE_HOME/qemuctl`
/// or
/// `~/.cache/qemuctl`.
std::string default_socket_dir();

/// The Unix socket of serial port `index`, which is of type "socket": its `path`, or `<socketDir>/<name>.serialN`.
/// `config` has a name; an empty `socket_dir` means `default_socket_dir()`.
std::string serial_socket_path(const VmConfig& config, std::size_t index);

/// Makes sure that QEMU will find the files of `config` (disk images, kernel, initrd) and may read them, and write the
/// disks that are not read-only. Opens nothing.
/// Throws one `Error` (`errc::not_found`) with a line for each file that is missing or forbidden.
void check_files(const VmConfig& config);

} // namespace qemuctl
