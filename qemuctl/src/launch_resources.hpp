// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "process.hpp"
#include "vm_files.hpp"

#include <qemuctl/command_line.hpp>
#include <qemuctl/file_descriptor.hpp>
#include <qemuctl/vm_config.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>

#include <string>
#include <utility>
#include <vector>

namespace qemuctl::detail {

/// What QEMU inherits when it is launched, and the programs that run beside it. Destroying this closes whatever was not
/// handed on and terminates those programs: swtpm would wait forever for a QEMU that never comes.
class LaunchResources {
 public:
  LaunchResources(asio::any_io_executor executor, VmFiles& files) : executor_(std::move(executor)), files_(files) {}

  LaunchResources(const LaunchResources&) = delete;
  LaunchResources& operator=(const LaunchResources&) = delete;
  ~LaunchResources();

  const asio::any_io_executor& executor() const noexcept { return executor_; }
  VmFiles& files() noexcept { return files_; }

  /// The number that the descriptor will have in QEMU.
  int inherit(FileDescriptor fd);
  int inherit_borrowed(int fd);
  /// The same, for the part of the description at `path`; see `CommandLineContext::descriptors`.
  void inherit_for(const std::string& path, FileDescriptor fd);
  void inherit_borrowed_for(const std::string& path, int fd);

  /// Starts a program that serves QEMU and exits once QEMU has closed its sockets. It inherits `fds`, in this order
  /// from 3 on, and writes to the VM's log. Throws `Error` (`errc::launch_failed`).
  void start_helper(const std::string& path, std::vector<std::string> argv, const std::vector<int>& fds, int log);

  const std::vector<int>& inherited() const noexcept { return inherited_; }
  const std::map<std::string, std::vector<int>, std::less<>>& descriptors() const noexcept { return descriptors_; }
  /// QEMU has its copies; once ours are closed, its death ends every connection to it.
  void close_ours() noexcept { ours_.clear(); }
  std::vector<Process> take_helpers() noexcept { return std::exchange(helpers_, {}); }

 private:
  asio::any_io_executor executor_;
  VmFiles& files_;
  std::vector<FileDescriptor> ours_;
  std::vector<int> inherited_;
  std::map<std::string, std::vector<int>, std::less<>> descriptors_;
  std::vector<Process> helpers_;
};

/// @name What the parts of a description need
/// Each throws `Error`, naming the part, or `std::system_error`.
/// @{
/// Listening sockets of serial ports, character devices and the guest agent. With `connect` the other ends of the
/// serial ports', by their index.
std::vector<FileDescriptor> open_sockets(const VmConfig& config, LaunchResources& resources, bool connect);
/// Networks between VMs: the listening socket of a server, the connected one of a client. The latter takes at most 10
/// s.
asio::awaitable<void> open_network_sockets(const VmConfig& config, LaunchResources& resources);
/// TAP interfaces and vhost-net: created, brought up, added to their bridges.
void open_taps(const VmConfig& config, LaunchResources& resources);
/// In-memory files with the secrets given as text.
void open_secrets(const VmConfig& config, LaunchResources& resources);
/// A copy of the template if the VM has no UEFI variables yet.
void make_efi_vars(const VmConfig& config);
/// virtiofsd, one for each share of that type.
void start_shares(const VmConfig& config, LaunchResources& resources, int log);
/// swtpm.
void start_tpm(const VmConfig& config, LaunchResources& resources, int log);
/// @}

} // namespace qemuctl::detail
