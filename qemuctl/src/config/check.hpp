// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "../problems.hpp"
#include "words.hpp"

#include <qemuctl/vm_config.hpp>

#include <fmt/format.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace qemuctl::detail {

/// Finds what is invalid in `config` for any QEMU. Pure.
void check_vm_config(const VmConfig& config, Problems& problems);

/// The common parts of the checks. Paths are those of vm.json.
class Check {
 public:
  Check(const VmConfig& vm, Problems& found) : config(vm), problems(found) {}

  const VmConfig& config;
  Problems& problems;

  /// One of the known words, or empty if `optional`.
  void word(const std::string& path, const std::string& value, const Words& known, bool optional = false);
  /// Reports it and returns false if `value` cannot be passed to QEMU at all.
  bool text(const std::string& path, const std::string& value);
  /// The same, and not empty; `expected` says what it is.
  bool needed(const std::string& path, const std::string& value, std::string_view expected);
  void id(const std::string& path, const std::string& value); ///< may be empty
  template<typename Number>
  void range(const std::string& path, Number value, Number min, Number max) {
    if (value < min || value > max)
      problems.add(path, fmt::format("{}", value), fmt::format("a number from {} to {}", min, max));
  }
  /// Each boot index belongs to one device only.
  void boot_index(const std::string& owner_path, const std::optional<int>& value);
  /// A Unix socket or file that several parts might want.
  void own_path(const std::string& path, const std::string& value);
  /// Ids that belong to the same kind of thing in QEMU.
  void own_id(std::map<std::string, std::string>& owners, const std::string& path, const std::string& value);
  /// Something with this id must exist: `what` is "secret", "chardev".
  void known_id(const std::string& path, const std::string& value, std::string_view what, const Words& known);
  /// `value` takes effect only with something else.
  void no_effect(const std::string& path, bool given, std::string_view without);

 private:
  std::map<int, std::string> boot_indexes_;
  std::map<std::string, std::string> paths_;
};

/// @name The parts
/// @{
void check_general(Check& check);    ///< name, architecture, extra arguments
void check_machine(Check& check);    ///< machine, CPU, memory, firmware, boot, clock, TPM
void check_disks(Check& check);      ///< disks, CD-ROMs, shares
void check_networks(Check& check);   ///< networks, vsock
void check_display(Check& check);    ///< display, video, audio
void check_characters(Check& check); ///< serials, chardevs, virtio-serial, agents
void check_devices(Check& check);    ///< USB, host devices, hot plugging, secrets
void check_ids(Check& check);        ///< that no two devices have the same id
/// @}

/// The ids of secrets and of character devices that can be referred to.
Words secret_ids(const VmConfig& config);
Words chardev_ids(const VmConfig& config);

} // namespace qemuctl::detail
