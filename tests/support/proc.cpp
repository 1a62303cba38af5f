// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "proc.hpp"

#include <dirent.h>

#include <charconv>
#include <fstream>
#include <memory>
#include <sstream>
#include <string_view>

namespace test {

std::string read_proc_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  // No stream buffer iterators: those throw when the process that a /proc file describes vanishes.
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void each_number_in(const char* folder, const std::function<void(int number)>& visit) {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir(folder), closedir);
  if (!dir) return;
  while (const dirent* entry = readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    int number = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (error == std::errc{} && end == name.data() + name.size() && number != dirfd(dir.get())) visit(number);
  }
}

} // namespace test
