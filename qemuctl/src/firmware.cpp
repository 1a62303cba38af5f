// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "firmware.hpp"

#include <qemuctl/error.hpp>
#include <qemuctl/json.hpp>

#include <fnmatch.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <string_view>

namespace qemuctl::detail {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t max_description = 1 << 20;

std::string text_at(const Json& object, std::initializer_list<std::string_view> path) {
  const Json* place = &object;
  for (const std::string_view key : path) {
    if (!place->is_object()) return {};
    place = place->find(key);
    if (!place) return {};
  }
  return place->is_string() ? place->as_string() : std::string();
}

/// The strings of the list `key`.
std::set<std::string, std::less<>> words(const Json& description, std::string_view key) {
  std::set<std::string, std::less<>> all;
  const Json* list = description.is_object() ? description.find(key) : nullptr;
  if (!list || !list->is_array()) return all;
  for (const Json& word : list->as_array())
    if (word.is_string()) all.insert(word.as_string());
  return all;
}

/// The patterns are of versioned names ("pc-q35-*"); what a short name means is the newest version.
std::string versioned(const std::string& machine) {
  if (machine == "q35") return "pc-q35-99.0";
  if (machine == "pc") return "pc-i440fx-99.0";
  if (machine == "virt") return "virt-99.0";
  return machine;
}

bool has_target(const Json& description, const FirmwareNeeds& needs) {
  const Json* targets = description.is_object() ? description.find("targets") : nullptr;
  if (!targets || !targets->is_array()) return false;
  const std::string machine = versioned(needs.machine);
  return std::ranges::any_of(targets->as_array(), [&](const Json& target) {
    if (text_at(target, {"architecture"}) != needs.architecture) return false;
    for (const std::string& pattern : words(target, "machines"))
      if (pattern == needs.machine || ::fnmatch(pattern.c_str(), machine.c_str(), 0) == 0) return true;
    return false;
  });
}

std::optional<Firmware> match(const Json& description, const FirmwareNeeds& needs) {
  if (!words(description, "interface-types").contains("uefi") || !has_target(description, needs)) return std::nullopt;
  const auto features = words(description, "features");
  if (needs.secure_boot && (!features.contains("secure-boot") || !features.contains("enrolled-keys")))
    return std::nullopt;
  if (!needs.secure_boot && features.contains("requires-smm")) return std::nullopt;
  if (text_at(description, {"mapping", "device"}) != "flash") return std::nullopt;
  Firmware firmware;
  firmware.code = text_at(description, {"mapping", "executable", "filename"});
  firmware.vars_template = text_at(description, {"mapping", "nvram-template", "filename"});
  for (const char* part : {"executable", "nvram-template"}) {
    const std::string format = text_at(description, {"mapping", part, "format"});
    if (!format.empty() && format != "raw") return std::nullopt;
  }
  std::error_code ec;
  if (firmware.code.empty() || !fs::exists(firmware.code, ec)) return std::nullopt;
  return firmware;
}

std::optional<Json> read(const fs::path& file) {
  std::error_code ec;
  if (fs::file_size(file, ec) > max_description || ec) return std::nullopt;
  std::ifstream in(file, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  try {
    return parse_json(text);
  } catch (const Error&) {
    return std::nullopt;
  }
}

} // namespace

std::vector<fs::path> firmware_folders() {
  std::vector<fs::path> folders;
  const char* config = std::getenv("XDG_CONFIG_HOME");
  const char* home = std::getenv("HOME");
  if (config && config[0] == '/')
    folders.push_back(fs::path(config) / "qemu/firmware");
  else if (home && home[0] == '/')
    folders.push_back(fs::path(home) / ".config/qemu/firmware");
  folders.push_back("/etc/qemu/firmware");
  folders.push_back("/usr/share/qemu/firmware");
  return folders;
}

std::optional<Firmware> find_firmware(const std::vector<fs::path>& folders, const FirmwareNeeds& needs) {
  std::map<std::string, fs::path> descriptions;
  for (const fs::path& folder : folders) {
    std::error_code ec;
    for (const auto& entry : fs::directory_iterator(folder, ec))
      if (entry.path().extension() == ".json") descriptions.emplace(entry.path().filename().string(), entry.path());
  }
  for (const auto& [name, path] : descriptions)
    if (const std::optional<Json> description = read(path))
      if (const std::optional<Firmware> firmware = match(*description, needs)) return firmware;
  return std::nullopt;
}

} // namespace qemuctl::detail
