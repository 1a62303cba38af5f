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

/// What a launcher decides and a VmConfig does not say.
struct CommandLineContext {
  std::string accel = "tcg"; ///< the accelerator chosen: "kvm" or "tcg"
  /// Descriptors QEMU inherits; -1 means there is none and the option is left out or made from a path.
  int control_fd = -1;      ///< a connected socket for the private monitor
  int monitor_fd = -1;      ///< the listening socket of the public monitor
  std::string monitor_path; ///< without `monitor_fd`: QEMU makes the public monitor itself, on this path
  bool paused = false;      ///< start with the CPUs stopped
  /// More of them, by the path in vm.json of what they are for: the listening sockets of "serials[0]",
  /// "chardevs[0]" and "guestAgent"; files with the secrets "secrets[0]", "display.vnc.password" and
  /// "display.spice.password"; one of each queue of the TAP interface "networks[0].backend", and of vhost-net,
  /// "networks[0].backend.vhost"; the listening or connected socket of a network between VMs, "networks[0].backend";
  /// connected sockets of the helpers of "tpm" and "shares[0]". What has none is made from a path, except for secrets
  /// given as text, which are never part of a command line.
  std::map<std::string, std::vector<int>, std::less<>> descriptors;
};

/// The command line for `config`, argv[0] (the binary) first. Pure: the same input gives the same result, nothing is
/// opened. (Only the socket of a serial port that has neither a descriptor nor a path, in a `config` without
/// `socket_dir`, is placed by `default_socket_dir()`, which looks at the environment.)
///
/// Devices have the ids of `disks[].id` and `networks[].id`; the node of a disk's image is called as the disk, too,
/// unless that name is too long for QEMU.
///
/// Throws `Error`: `errc::invalid_argument` for a value that cannot be right, `errc::not_supported` for what this QEMU
/// does not have, each naming the value as a path in `vm.json`.
std::vector<std::string> build_command_line(const VmConfig& config, const QemuInfo& qemu,
                                            const CommandLineContext& context);

/// The words quoted for a POSIX shell, joined by blanks.
std::string quote_for_shell(const std::vector<std::string>& words);

/// A value for a QemuOpts string: every comma doubled.
std::string escape_option(std::string_view value);

} // namespace qemuctl
