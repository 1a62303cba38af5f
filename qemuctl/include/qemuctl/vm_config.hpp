// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/character_config.hpp>
#include <qemuctl/device_config.hpp>
#include <qemuctl/disk_config.hpp>
#include <qemuctl/display_config.hpp>
#include <qemuctl/machine_config.hpp>
#include <qemuctl/network_config.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace qemuctl {

/// The description of a virtual machine. Plain data: nothing is checked or opened here.
struct VmConfig {
  /// 1 to 64 characters, letters, digits, `-`, `_`, `.`, the first a letter or digit; it names sockets and files.
  /// Empty: "vm-" and eight random hexadecimal digits.
  std::string name;
  std::string arch;       ///< GOARCH style: "amd64", "arm64", ...; empty: the host's. See `qemu_binary_name`.
  std::string qemu_path;  ///< QEMU's binary; empty: searched for, see `find_qemu`
  std::string socket_dir; ///< for sockets and logs; empty: see `default_socket_dir`
  MachineConfig machine;
  CpuConfig cpu;
  MemoryConfig memory;
  std::optional<EfiConfig> efi; ///< without it the machine's own firmware (SeaBIOS on x86)
  BootConfig boot;
  RtcConfig rtc;
  std::optional<TpmConfig> tpm;
  std::vector<DiskConfig> disks;
  std::vector<CdromConfig> cdroms;
  std::vector<ShareConfig> shares;
  std::vector<NetworkConfig> networks;
  std::optional<VsockConfig> vsock;
  DisplayConfig display;
  std::optional<AudioConfig> audio;
  std::vector<SerialConfig> serials;
  std::vector<ChardevConfig> chardevs;
  std::optional<VirtioSerialConfig> virtio_serial; ///< added automatically if something needs one
  /// The Unix socket on which QEMU offers the guest agent; empty: none.
  std::string guest_agent;
  bool spice_agent = false;               ///< clipboard and window size over SPICE
  std::optional<UsbControllerConfig> usb; ///< added by itself when something needs one
  std::vector<UsbDeviceConfig> usb_devices;
  bool usb_tablet = false; ///< a pointer with absolute coordinates, so that no window has to grab the mouse
  bool balloon = false;    ///< lets the host reclaim memory
  std::vector<HostDevice> host_devices;
  std::optional<HotplugConfig> hotplug;
  std::vector<SecretConfig> secrets;
  bool no_defaults = true;             ///< omit QEMU's default devices
  std::vector<std::string> extra_args; ///< appended to QEMU's command line unchanged
  bool operator==(const VmConfig&) const = default;
};

/// The default folder for sockets and logs: `/var/run/qemu` for root, otherwise `$XDG_CACHE_HOME/qemuctl`
/// or `~/.cache/qemuctl`.
std::string default_socket_dir();

/// The default folder for a VM's own state (UEFI variables, TPM): `/var/lib/qemuctl` for root, otherwise
/// `$XDG_STATE_HOME/qemuctl` or `~/.local/state/qemuctl`.
std::string default_state_dir();

/// The Unix socket of serial port `index`, which is of type "socket": its `path`, or `<socketDir>/<name>.serialN`.
/// `config` must have a name; an empty `socket_dir` means `default_socket_dir()`.
std::string serial_socket_path(const VmConfig& config, std::size_t index);

/// Checks that the files of `config` (disk images, CD-ROMs, kernel, firmware, shared folders, ...) exist and are
/// readable, that writable disks are writable, that images have the header of their format, and that the host's bridges
/// and network interfaces are usable.
/// Throws one `Error` (`errc::not_found`) with a line for each that is missing, inaccessible, in use or not as
/// expected.
void check_files(const VmConfig& config);

} // namespace qemuctl
