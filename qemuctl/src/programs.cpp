// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "programs.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>
#include <system_error>
#include <utility>

namespace qemuctl::detail {

namespace fs = std::filesystem;

namespace {

std::optional<fs::path> find(const char* program, const std::vector<fs::path>& folders) {
  for (const fs::path& folder : program_folders(folders))
    if (is_program(folder / program)) return fs::absolute(folder / program);
  return std::nullopt;
}

} // namespace

bool is_program(const fs::path& path) {
  std::error_code ec;
  return fs::is_regular_file(path, ec) && ::access(path.c_str(), X_OK) == 0;
}

std::vector<fs::path> program_folders(const std::vector<fs::path>& more) {
  std::vector<fs::path> folders;
  const auto add = [&](fs::path folder) {
    if (std::ranges::find(folders, folder) == folders.end()) folders.push_back(std::move(folder));
  };
  const char* path = std::getenv("PATH");
  for (std::string_view rest = path ? path : ""; !rest.empty();) {
    const std::size_t end = std::min(rest.find(':'), rest.size());
    if (end > 0) add(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  for (const fs::path& folder : more) add(folder);
  return folders;
}

std::optional<fs::path> find_swtpm() {
  return find("swtpm", {"/usr/bin"});
}

std::optional<fs::path> find_virtiofsd() {
  // Where distributions have what nobody calls by hand: Debian 13 and Fedora; Debian 12, whose QEMU brings its own.
  return find("virtiofsd", {"/usr/libexec", "/usr/lib/qemu", "/usr/lib/virtiofsd"});
}

} // namespace qemuctl::detail
