// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "problems.hpp"

#include <qemuctl/vm_config.hpp>

#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

namespace qemuctl {

std::string default_socket_dir() {
  if (::geteuid() == 0) return "/var/run/qemu";
  // The XDG specification has relative paths ignored.
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache && cache[0] == '/')
    return std::string(cache) + "/qemuctl";
  const char* home = std::getenv("HOME");
  if (!home || home[0] != '/') {
    const ::passwd* user = ::getpwuid(::geteuid());
    home = user && user->pw_dir ? user->pw_dir : "/";
  }
  return (std::filesystem::path(home) / ".cache/qemuctl").string();
}

std::string serial_socket_path(const VmConfig& config, std::size_t index) {
  if (const std::string& path = config.serials.at(index).path; !path.empty()) return path;
  const std::filesystem::path dir = config.socket_dir.empty() ? default_socket_dir() : config.socket_dir;
  return (dir / fmt::format("{}.serial{}", config.name, index)).string();
}

namespace {

void check_file(const std::string& option, const std::string& path, int mode, detail::Problems& problems) {
  if (path.empty()) return;
  std::error_code ec;
  if (std::filesystem::is_directory(path, ec))
    problems.add(option, path + " is a folder");
  else if (::access(path.c_str(), R_OK | mode) != 0) {
    const int error = errno;
    problems.add(option, fmt::format("{}: {}{}", path, std::generic_category().message(error),
                                     mode == W_OK && ::access(path.c_str(), R_OK) == 0
                                         ? " (for writing; with \"readOnly\": true it would be read only)"
                                         : ""));
  }
}

} // namespace

void check_files(const VmConfig& config) {
  detail::Problems problems;
  check_file("boot.kernel", config.boot.kernel, 0, problems);
  check_file("boot.initrd", config.boot.initrd, 0, problems);
  for (std::size_t i = 0; i < config.disks.size(); ++i)
    check_file(fmt::format("disks[{}].backend.path", i), config.disks[i].backend.path,
               config.disks[i].read_only ? 0 : W_OK, problems);
  problems.throw_if_any(errc::not_found, "use the files of the VM", config.name.empty() ? "" : "VM " + config.name);
}

} // namespace qemuctl
