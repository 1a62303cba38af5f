// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// Descriptions of VMs and their command lines: tests/data/golden.
#pragma once

#include <qemuctl/vm_config.hpp>

#include <filesystem>
#include <string>
#include <vector>

namespace test {

/// The source folder.
std::filesystem::path source_dir();

/// With `UPDATE_GOLDEN=1` in the environment, files with expected results are written instead of compared.
bool update_golden();

std::string read_file(const std::filesystem::path& file);
void write_file(const std::filesystem::path& file, const std::string& text);

struct Golden {
  std::string name;
  std::string vm_json;
  std::filesystem::path argv_file;       ///< the words of the command line, one per line, or `refused` and why
  std::filesystem::path newer_argv_file; ///< for QEMU 10.0, if it differs from QEMU 7.2
  std::string not_started;               ///< why the tests cannot start it, from `not-started`; empty: they can

  static constexpr const char* refused = "refused: ";

  /// Relative paths are relative to `base_dir`.
  qemuctl::VmConfig config(const std::filesystem::path& base_dir) const;
};

/// All of them, sorted by name.
std::vector<Golden> goldens();

} // namespace test
