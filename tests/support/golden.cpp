// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "golden.hpp"

#include <qemuctl/vm_config_json.hpp>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string_view>

namespace test {

std::filesystem::path source_dir() {
  return QEMUCTL_SOURCE_DIR;
}

bool update_golden() {
  const char* value = std::getenv("UPDATE_GOLDEN");
  return value && std::string_view(value) == "1";
}

std::string read_file(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read " + file.string());
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

void write_file(const std::filesystem::path& file, const std::string& text) {
  std::ofstream out(file, std::ios::binary);
  if (!(out << text << std::flush)) throw std::runtime_error("cannot write " + file.string());
}

qemuctl::VmConfig Golden::config(const std::filesystem::path& base_dir) const {
  return qemuctl::parse_vm_config(vm_json, name + "/vm.json", base_dir);
}

std::vector<Golden> goldens() {
  const std::filesystem::path folder = source_dir() / "tests/data/golden";
  std::map<std::string, std::string> not_started;
  std::istringstream lines(read_file(folder / "not-started"));
  for (std::string line; std::getline(lines, line);)
    if (const std::size_t colon = line.find(": "); colon != std::string::npos)
      not_started.emplace(line.substr(0, colon), line.substr(colon + 2));

  std::vector<Golden> all;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (!entry.is_directory()) continue;
    const std::string name = entry.path().filename().string();
    all.push_back({name, read_file(entry.path() / "vm.json"), entry.path() / "argv", entry.path() / "argv-10.0",
                   not_started[name]});
  }
  std::sort(all.begin(), all.end(), [](const Golden& a, const Golden& b) { return a.name < b.name; });
  return all;
}

} // namespace test
