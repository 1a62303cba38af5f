// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/qemu_info.hpp>
#include <qemuctl/vm_config.hpp>

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace qemuctl {

/// What the launcher decides rather than the VmConfig.
struct CommandLineContext {
  std::string accel = "tcg"; ///< the accelerator chosen: "kvm" or "tcg"
  /// Descriptors QEMU inherits; with -1 the option is omitted or uses a path.
  int control_fd = -1;      ///< a connected socket for the private monitor
  int monitor_fd = -1;      ///< the listening socket of the public monitor
  std::string monitor_path; ///< without `monitor_fd`: QEMU itself creates the public monitor at this path
  bool paused = false;      ///< start with the CPUs stopped
  /// Further descriptors, keyed by the path in vm.json that they serve: the listening sockets of "serials[0]",
  /// "chardevs[0]" and "guestAgent"; files with the secrets "secrets[0]", "display.vnc.password" and
  /// "display.spice.password"; one per queue of the TAP interface "networks[0].backend", and of vhost-net,
  /// "networks[0].backend.vhost"; the listening or connected socket of a network between VMs, "networks[0].backend";
  /// sockets connected to the helpers of "tpm" and "shares[0]". Whatever has none uses a path, except for secrets given
  /// as text, which never appear on a command line.
  std::map<std::string, std::vector<int>, std::less<>> descriptors;
};

/// The command line for `config`, argv[0] (the binary) first. Pure: the result depends on
/// the arguments only, and nothing is opened. (One exception: without `socket_dir`, the socket of a serial port that
/// has neither a descriptor nor a path is placed by `default_socket_dir()`, which reads the environment.)
///
/// Devices get the ids in `disks[].id` and `networks[].id`. The block node of a disk's image has the same name as the
/// disk, unless that is too long for QEMU.
///
/// Throws `Error`: `errc::invalid_argument` for an invalid value, `errc::not_supported` for a feature this QEMU lacks;
/// both name the value by its path in `vm.json`.
std::vector<std::string> build_command_line(const VmConfig& config, const QemuInfo& qemu,
                                            const CommandLineContext& context);

/// The words quoted for a POSIX shell, separated by spaces.
std::string quote_for_shell(const std::vector<std::string>& words);

/// A value for a QemuOpts string: with every comma doubled.
std::string escape_option(std::string_view value);

} // namespace qemuctl
