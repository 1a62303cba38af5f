// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "config/files_check.hpp"

#include <qemuctl/vm_config.hpp>

#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

namespace qemuctl {

namespace {

/// A folder of the XDG Base Directory Specification, which has relative paths ignored.
std::filesystem::path user_folder(const char* variable, const char* below_home) {
  if (const char* folder = std::getenv(variable); folder && folder[0] == '/') return folder;
  const char* home = std::getenv("HOME");
  if (!home || home[0] != '/') {
    const ::passwd* user = ::getpwuid(::geteuid());
    home = user && user->pw_dir ? user->pw_dir : "/";
  }
  return std::filesystem::path(home) / below_home;
}

} // namespace

std::string default_socket_dir() {
  if (::geteuid() == 0) return "/var/run/qemu";
  return (user_folder("XDG_CACHE_HOME", ".cache") / "qemuctl").string();
}

std::string default_state_dir() {
  if (::geteuid() == 0) return "/var/lib/qemuctl";
  return (user_folder("XDG_STATE_HOME", ".local/state") / "qemuctl").string();
}

std::string serial_socket_path(const VmConfig& config, std::size_t index) {
  if (const std::string& path = config.serials.at(index).path; !path.empty()) return path;
  const std::filesystem::path dir = config.socket_dir.empty() ? default_socket_dir() : config.socket_dir;
  return (dir / fmt::format("{}.serial{}", config.name, index)).string();
}

void check_files(const VmConfig& config) {
  detail::Problems problems;
  detail::find_missing_files(config, problems);
  detail::find_missing_interfaces(config, problems);
  detail::find_missing_host_devices(config, problems);
  problems.throw_if_any(errc::not_found, "use the files of the VM", config.name.empty() ? "" : "VM " + config.name);
}

} // namespace qemuctl
