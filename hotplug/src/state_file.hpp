// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "choices.hpp"

#include <qemuctl/file_descriptor.hpp>

#include <filesystem>
#include <string>

namespace hotplug::detail {

/// The file with people's choices, and the right to write it: one engine at a time has it.
class StateFile {
 public:
  /// Locks the file. Throws `qemuctl::Error`: `already_running` when another process has it, which is named.
  explicit StateFile(std::filesystem::path path);

  /// What is in it; nothing when there is no file. A file that cannot be understood is moved aside, not overwritten:
  /// `warning` then says why and where it is. Throws `qemuctl::Error` when it cannot be read.
  Choices load(std::string& warning) const;

  /// Replaces the file as a whole: it has the old contents or the new, whatever happens. Blocks until they are on the
  /// disk. Throws `qemuctl::Error`.
  void save(const Choices& choices) const;

 private:
  std::filesystem::path path_;
  qemuctl::FileDescriptor lock_;
};

} // namespace hotplug::detail
