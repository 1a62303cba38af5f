// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "config/check.hpp"
#include "config/files_check.hpp"
#include "config/formats.hpp"
#include "text_file.hpp"

#include <qemuctl/error.hpp>
#include <qemuctl/vm_config_json.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

namespace qemuctl {

namespace {

constexpr const char* operation = "read the description of a VM";
constexpr std::size_t max_file_size = 1 << 20;
/// Far more than the keys have.
constexpr std::size_t max_nesting = 64;

/// The first key of a path: `disks` of `disks[1].id`.
std::string_view section(std::string_view path) {
  return path.substr(0, path.find_first_of(".["));
}

/// A problem's path as it is in the file: parts that have a short form may be written in that one.
std::string as_written(std::string path, const Json& file) {
  struct ShortForm {
    const char* key;
    std::string_view whole;
    std::vector<std::pair<std::string_view, std::string_view>> members; ///< what else has another name in it
  };
  static const std::vector<ShortForm> forms{
      {"drives", "disks[", {{".backend.path", ".file"}, {".backend.", "."}}},
      {"networkDevices", "networks[", {{".backend.path", ".socketPath"}, {".backend.", "."}}},
      {"vnc", "display.vnc", {}},
      {"spice", "display.spice", {}},
      {"cpus", "cpu.cores", {}},
      {"kvm", "machine.accel", {}},
  };
  for (const ShortForm& form : forms) {
    if (!path.starts_with(form.whole) || !file.is_object() || !file.contains(form.key)) continue;
    path.replace(0, form.whole.size(), std::string(form.key) + (form.whole.ends_with('[') ? "[" : ""));
    for (const auto& [member, written] : form.members)
      if (const std::size_t at = path.find(member); at != std::string::npos) path.replace(at, member.size(), written);
    break;
  }
  return path;
}

/// A VM name made of a file's; empty when nothing is left of it.
std::string name_from(const std::filesystem::path& file) {
  std::string name = file.stem().string();
  for (char& c : name)
    if (!detail::is_valid_vm_name(std::string("x") + c)) c = '-';
  name.erase(0, name.find_first_not_of("-_."));
  name.resize(std::min<std::size_t>(name.size(), 64));
  return detail::is_valid_vm_name(name) ? name : std::string();
}

/// What is looked at besides the text.
enum class Look { nowhere, at_files };

VmConfig read_vm_config(std::string_view text, const std::string& source, const std::filesystem::path& base_dir,
                        Look look) {
  // Editors of other systems write a byte order mark; it says nothing here.
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  JsonParseOptions options;
  options.max_depth = max_nesting;
  options.refuse_duplicate_keys = true;
  options.source = source;
  Json json;
  try {
    json = parse_json(text, options);
  } catch (const Error& error) {
    Diagnostics diagnostics = error.diagnostics();
    diagnostics.operation = operation;
    throw Error(error.code(), std::move(diagnostics));
  }

  detail::Problems problems;
  detail::ReadContext context{problems, base_dir};
  const VmConfig config = detail::vm_config_format().read(json, "", context).value_or(VmConfig());

  // Of a part that could not be read in full nothing more can be said.
  std::set<std::string, std::less<>> unread;
  for (const auto& problem : problems.all()) unread.emplace(section(problem.path));
  detail::Problems others;
  if (!unread.contains("")) {
    detail::check_vm_config(config, others);
    // A launch looks for them, too; but who has something to correct anyway is told of all of it at once.
    if (look == Look::at_files && !(problems.empty() && others.empty())) detail::find_missing_files(config, others);
  }
  for (const auto& problem : others.all()) {
    const std::string path = as_written(problem.path, json);
    if (!unread.contains(section(path))) problems.add(path, problem.text);
  }

  problems.throw_if_any(errc::invalid_argument, operation, source);
  return config;
}

} // namespace

VmConfig parse_vm_config(std::string_view text, const std::string& source, const std::filesystem::path& base_dir) {
  return read_vm_config(text, source, base_dir, Look::nowhere);
}

VmConfig load_vm_config(const std::filesystem::path& file) {
  const std::string text = detail::read_text_file(file, max_file_size, operation);
  VmConfig config = read_vm_config(text, file.string(), std::filesystem::absolute(file).parent_path(), Look::at_files);
  if (config.name.empty()) config.name = name_from(file);
  return config;
}

} // namespace qemuctl
