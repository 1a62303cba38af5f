// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "usb_authorization.hpp"

#include <qemuctl/error.hpp>
#include <qemuctl/file_descriptor.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <system_error>

namespace hotplug::detail {

namespace fs = std::filesystem;

namespace {

constexpr const char* usb_devices = "/sys/bus/usb/devices/";

[[noreturn]] void fail(const fs::path& file, int error) {
  qemuctl::Diagnostics diagnostics;
  diagnostics.operation = "note what USB devices were authorised";
  diagnostics.subject = file.string();
  diagnostics.detail = std::generic_category().message(error);
  throw qemuctl::Error(std::error_code(error, std::generic_category()), std::move(diagnostics));
}

} // namespace

std::optional<bool> wanted_authorization(const AuthorizationCase& facts) {
  if (facts.in_vm) return true;
  if (facts.host_allow && !facts.has_rule) return true;
  if (facts.host_uses) return std::nullopt;
  if (facts.has_rule) return facts.was_in_vm || !facts.was_there ? std::optional(false) : std::nullopt;
  return facts.was_there && !facts.sweep ? std::nullopt : std::optional(false);
}

std::map<std::string, std::string> AuthorizationJournal::all() const {
  std::map<std::string, std::string> values;
  std::error_code ec;
  for (fs::directory_iterator file(folder_, ec), end; !ec && file != end; file.increment(ec))
    if (file->path().extension() != ".new") values[file->path().filename().string()] = read_attribute(file->path());
  return values;
}

void AuthorizationJournal::add(const std::string& name, const std::string& value) const {
  std::error_code ec;
  const fs::path path = folder_ / name, fresh = path.string() + ".new";
  if (fs::exists(path, ec)) return;
  fs::create_directories(folder_, ec);
  if (ec) fail(folder_, ec.value());
  qemuctl::FileDescriptor file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!file) fail(fresh, errno);
  const std::string line = value + "\n";
  const ssize_t written = ::write(file.get(), line.data(), line.size());
  if (written != static_cast<ssize_t>(line.size())) fail(fresh, written < 0 ? errno : ENOSPC);
  file.reset();
  if (::rename(fresh.c_str(), path.c_str()) != 0) fail(path, errno);
}

void AuthorizationJournal::remove(const std::string& name) const {
  std::error_code ec;
  fs::remove(folder_ / name, ec);
}

std::vector<std::string> root_hubs() {
  std::vector<std::string> names;
  std::error_code ec;
  for (fs::directory_iterator entry(usb_devices, ec), end; !ec && entry != end; entry.increment(ec))
    if (std::string name = entry->path().filename().string(); name.starts_with("usb")) names.push_back(std::move(name));
  std::ranges::sort(names);
  return names;
}

std::string default_authorization_file(const std::string& root_hub) {
  return usb_devices + root_hub + "/authorized_default";
}

std::string authorization_file(const std::string& sys_name) {
  return usb_devices + sys_name + "/authorized";
}

std::string read_attribute(const std::string& file) {
  std::ifstream stream(file);
  std::string line;
  std::getline(stream, line);
  return line;
}

std::string write_attribute(const std::string& file, const std::string& value) {
  const qemuctl::FileDescriptor fd(::open(file.c_str(), O_WRONLY | O_CLOEXEC));
  const ssize_t written = fd ? ::write(fd.get(), value.data(), value.size()) : -1;
  if (written == static_cast<ssize_t>(value.size())) return {};
  return std::generic_category().message(written < 0 ? errno : EIO);
}

} // namespace hotplug::detail
