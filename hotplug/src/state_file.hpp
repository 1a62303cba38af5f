// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "choices.hpp"

#include <qemuctl/file_descriptor.hpp>

#include <filesystem>
#include <string>

namespace hotplug::detail {

/// The file with the choices of users, and the right to write it: one engine at a time holds it.
class StateFile {
 public:
  /// Locks the file. Throws `qemuctl::Error`: `already_running`, with its name, when another process holds it.
  explicit StateFile(std::filesystem::path path);

  /// Its contents; empty if there is no file. An invalid file is moved aside rather than overwritten, and `warning`
  /// says why and where to. Throws `qemuctl::Error` when it cannot be read.
  Choices load(std::string& warning) const;

  /// Replaces the file atomically and blocks until it is on disk. Throws `qemuctl::Error`.
  void save(const Choices& choices) const;

 private:
  std::filesystem::path path_;
  qemuctl::FileDescriptor lock_;
};

} // namespace hotplug::detail
