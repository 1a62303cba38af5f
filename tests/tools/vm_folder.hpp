// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "machine.hpp"
#include "temp_dir.hpp"

#include <qemuctl/json.hpp>

#include <filesystem>
#include <string>
#include <vector>

namespace test {

/// A folder with a `vm.json`, and with the sockets and logs of VMs started from it. The destructor kills every QEMU
/// that uses the folder, so that nothing outlives a failed case.
class VmFolder {
 public:
  enum class Guest {
    none, ///< nothing to boot: the power button is ignored
    demo, ///< the demo guest, which obeys it; skips the case if it is missing
  };
  /// A `vm.json` for a VM named "vm".
  explicit VmFolder(const std::filesystem::path& qemu, Guest guest = Guest::none);
  ~VmFolder();
  VmFolder(const VmFolder&) = delete;
  VmFolder& operator=(const VmFolder&) = delete;

  /// The content of `vm.json`; written by `vm_file`.
  qemuctl::Json config;
  /// Writes `config` and returns the path.
  std::string vm_file() const;

  std::string socket() const { return (folder_ / "vm.sock").string(); }
  std::filesystem::path path(const std::string& name) const { return folder_ / name; }

  /// The QEMUs that use this folder.
  std::vector<int> vms() const;

 private:
  TempDir folder_;
};

/// Waits until the process, not necessarily a child, has ended. Fails the case at the deadline.
void wait_until_gone(int pid);

} // namespace test
