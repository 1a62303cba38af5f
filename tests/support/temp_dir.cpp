// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "temp_dir.hpp"

#include <cerrno>
#include <cstdlib>
#include <system_error>

namespace test {

TempDir::TempDir() {
  constexpr std::size_t short_enough = 40;
  std::error_code no_folder;
  auto parent = std::filesystem::temp_directory_path(no_folder);
  if (no_folder || parent.native().size() > short_enough) parent = "/tmp";
  auto pattern = (parent / "qemuctl-XXXXXX").string();
  if (!mkdtemp(pattern.data())) throw std::system_error(errno, std::generic_category(), "mkdtemp " + pattern);
  path_ = pattern;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

} // namespace test
