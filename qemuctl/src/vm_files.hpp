// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/file_descriptor.hpp>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace qemuctl::detail {

/// The files that belong to the name of one VM in a socket folder: `<name>.lock`, `<name>.sock`, `<name>.log` and the
/// sockets of its serial ports.
///
/// The lock makes a name belong to one running VM. It is an flock on a descriptor that QEMU inherits, so it lasts
/// exactly as long as QEMU, whatever becomes of the launcher, and a stale file cannot pass for a VM.
class VmFiles {
 public:
  /// Claims the name. Creates the folder (0700 below a home, 0755 for root). Throws `Error`: `already_running` when a
  /// VM of this name runs or somebody listens on its socket, `invalid_argument` when a socket's path is too long, a
  /// system error when the folder cannot be written.
  VmFiles(std::filesystem::path dir, std::string name);
  VmFiles(VmFiles&&) noexcept = default;
  VmFiles& operator=(VmFiles&&) noexcept = default;

  const std::string& name() const noexcept { return name_; }
  const std::filesystem::path& monitor_path() const noexcept { return monitor_path_; }
  const std::filesystem::path& log_path() const noexcept { return log_path_; }

  /// Creates a listening Unix socket at `path` (mode 0600) and records the path as one of this VM's. A stale one is
  /// replaced; one that somebody listens on is `already_running`.
  FileDescriptor listen(const std::filesystem::path& path);

  /// The same for a socket that QEMU creates itself: nobody may listen on `path`, which is removed with the others.
  void leave_to_qemu(const std::filesystem::path& path);

  /// Opens the log for appending; one that has grown over 1 MiB is renamed to `<name>.log.old` first.
  FileDescriptor open_log();
  /// Where this run's part of the log begins.
  std::uint64_t log_offset() const noexcept { return log_offset_; }

  /// The descriptor QEMU has to inherit.
  int lock_fd() const noexcept { return lock_.get(); }

  /// QEMU holds the lock now: releases our share of it.
  void hand_over() noexcept { lock_.reset(); }

  /// Removes the sockets, the lock file and an empty log, while we or our QEMU hold the lock.
  void remove() noexcept;

  /// The same after QEMU's end: only if nobody else has claimed the name since.
  void remove_if_free() noexcept;

 private:
  std::filesystem::path dir_, lock_path_, monitor_path_, log_path_;
  std::string name_;
  FileDescriptor lock_;
  std::vector<std::filesystem::path> sockets_;
  std::uint64_t log_offset_ = 0;

  void make_way(const std::filesystem::path& path) const;
};

} // namespace qemuctl::detail
