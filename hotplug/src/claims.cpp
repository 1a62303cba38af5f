// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "claims.hpp"

#include <qemuctl/error.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <fstream>
#include <system_error>
#include <utility>

namespace hotplug::detail {

namespace fs = std::filesystem;

namespace {

[[noreturn]] void fail(const fs::path& file, int error) {
  qemuctl::Diagnostics diagnostics;
  diagnostics.operation = "claim a device";
  diagnostics.subject = file.string();
  diagnostics.detail = std::generic_category().message(error);
  throw qemuctl::Error(std::error_code(error, std::generic_category()), std::move(diagnostics));
}

std::string first_line(const fs::path& file) {
  std::ifstream stream(file);
  std::string line;
  std::getline(stream, line);
  return line;
}

bool has_open(const fs::path& process, const struct stat& node) {
  std::error_code ec;
  for (fs::directory_iterator fd(process / "fd", ec), end; !ec && fd != end; fd.increment(ec)) {
    struct statx file {};
    // What it has open may be on a server that is gone, which is not to be asked.
    if (::statx(AT_FDCWD, fd->path().c_str(), AT_STATX_DONT_SYNC, STATX_TYPE, &file) == 0 && S_ISCHR(file.stx_mode) &&
        makedev(file.stx_rdev_major, file.stx_rdev_minor) == node.st_rdev)
      return true;
  }
  return false;
}

} // namespace

Claim Claim::take(const fs::path& folder, const std::string& device, const std::string& for_whom, std::string& holder) {
  std::error_code ec;
  fs::create_directories(folder, ec);
  if (ec) fail(folder, ec.value());
  const fs::path path = folder / device;
  // The file stays: were it removed, two engines could hold a lock of that name, each on a file of its own.
  Claim claim;
  claim.file_.reset(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!claim.file_) fail(path, errno);
  if (::flock(claim.file_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) fail(path, errno);
    holder = first_line(path);
    claim.file_.reset();
    return claim;
  }
  const std::string text = fmt::format("process {} for {}\n", ::getpid(), for_whom);
  // What is written is for people; the lock is what counts.
  if (::ftruncate(claim.file_.get(), 0) != 0 ||
      ::pwrite(claim.file_.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
    holder.clear();
  return claim;
}

std::vector<DeviceUser> users_of(const fs::path& node) {
  std::vector<DeviceUser> users;
  struct stat wanted {};
  if (::stat(node.c_str(), &wanted) != 0) return users;
  const std::string self = std::to_string(::getpid());
  std::error_code ec;
  for (fs::directory_iterator process("/proc", ec), end; !ec && process != end; process.increment(ec)) {
    const std::string name = process->path().filename().string();
    if (name == self || !std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isdigit(c); }))
      continue;
    if (has_open(process->path(), wanted)) users.push_back({std::stoi(name), first_line(process->path() / "comm")});
  }
  return users;
}

std::optional<DeviceUser> user_of(const fs::path& node) {
  const std::vector<DeviceUser> users = users_of(node);
  return users.empty() ? std::nullopt : std::optional(users.front());
}

} // namespace hotplug::detail
