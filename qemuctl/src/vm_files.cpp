// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "vm_files.hpp"

#include "unix_socket.hpp"

#include <qemuctl/error.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <system_error>

namespace qemuctl::detail {
namespace {

constexpr std::uintmax_t max_log_bytes = 1 << 20;

[[noreturn]] void fail(std::error_code code, const std::string& name, std::string detail, std::string advice = {}) {
  Diagnostics diagnostics;
  diagnostics.operation = "launch";
  diagnostics.subject = "VM " + name;
  diagnostics.detail = std::move(detail);
  diagnostics.advice = std::move(advice);
  throw Error(code, std::move(diagnostics));
}

[[noreturn]] void fail_errno(const std::string& name, const std::string& what) {
  const std::error_code code(errno, std::system_category());
  fail(code, name, fmt::format("{}: {}", what, code.message()));
}

/// Opens and locks the file; nullopt if somebody else holds the lock. The lock on a file that was removed meanwhile
/// guards nothing, so it is then taken on the current file.
std::optional<FileDescriptor> try_lock(const std::filesystem::path& path) {
  for (;;) {
    FileDescriptor fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd) throw std::system_error(errno, std::system_category(), "open " + path.string());
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) return std::nullopt;
      throw std::system_error(errno, std::system_category(), "lock " + path.string());
    }
    struct stat ours {
    }, there{};
    if (::fstat(fd.get(), &ours) == 0 && ::stat(path.c_str(), &there) == 0 && ours.st_ino == there.st_ino &&
        ours.st_dev == there.st_dev)
      return fd;
  }
}

std::string named_process(int pid) {
  return pid > 0 ? fmt::format("process {}", pid) : std::string("a process the kernel does not name");
}

} // namespace

VmFiles::VmFiles(std::filesystem::path dir, std::string name)
    : dir_(std::move(dir)), lock_path_(dir_ / (name + ".lock")), monitor_path_(dir_ / (name + ".sock")),
      log_path_(dir_ / (name + ".log")), name_(std::move(name)) {
  std::error_code ec;
  const bool existed = std::filesystem::exists(dir_, ec);
  std::filesystem::create_directories(dir_, ec);
  if (ec)
    fail(ec, name_, fmt::format("the folder {} cannot be made: {}", dir_.string(), ec.message()),
         "Set socketDir to a folder you can write to.");
  // A monitor is full control over the VM, and a log may hold what the guest printed.
  if (!existed && ::geteuid() != 0) ::chmod(dir_.c_str(), 0700);

  std::optional<FileDescriptor> lock;
  try {
    lock = try_lock(lock_path_);
  } catch (const std::system_error& error) {
    fail(error.code(), name_, error.what(), "Set socketDir to a folder you can write to.");
  }
  if (!lock) {
    const int pid = listener_of(monitor_path_);
    fail(
        errc::already_running, name_,
        pid ? fmt::format("a VM of this name runs already ({}, monitor {})", named_process(pid), monitor_path_.string())
            : fmt::format("a VM of this name runs already or is just starting or ending (it holds {})",
                          lock_path_.string()),
        "Choose another name, or stop that VM first.");
  }
  lock_ = std::move(*lock);
}

void VmFiles::make_way(const std::filesystem::path& path) const {
  if (path.native().size() >= sizeof(sockaddr_un::sun_path))
    fail(errc::invalid_argument, name_,
         fmt::format("the socket path {} has {} bytes, and the kernel takes {} at most", path.string(),
                     path.native().size(), sizeof(sockaddr_un::sun_path) - 1),
         "Set socketDir to a shorter path.");
  if (const int pid = listener_of(path))
    fail(errc::already_running, name_, fmt::format("{} listens on {}", named_process(pid), path.string()),
         "Choose another name, or stop that VM first.");

  struct stat there {};
  if (::lstat(path.c_str(), &there) == 0) {
    if (!S_ISSOCK(there.st_mode))
      fail(errc::invalid_argument, name_, fmt::format("{} is in the way and is no socket", path.string()),
           "Remove it or choose another path.");
    ::unlink(path.c_str());
  }
}

void VmFiles::leave_to_qemu(const std::filesystem::path& path) {
  make_way(path);
  sockets_.push_back(path);
}

FileDescriptor VmFiles::listen(const std::filesystem::path& path) {
  make_way(path);
  FileDescriptor fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) fail_errno(name_, "no socket could be made");
  const sockaddr_un address = unix_address_of(path);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    fail_errno(name_, "cannot bind to " + path.string());
  sockets_.push_back(path);
  // Nobody can connect between bind and listen, so the mode is right for the first client; a library must not touch
  // the process-wide umask.
  if (::chmod(path.c_str(), 0600) != 0) fail_errno(name_, "cannot set the mode of " + path.string());
  if (::listen(fd.get(), 1) != 0) fail_errno(name_, "cannot listen on " + path.string());
  return fd;
}

FileDescriptor VmFiles::open_log() {
  std::error_code ec;
  if (std::filesystem::file_size(log_path_, ec) > max_log_bytes && !ec)
    std::filesystem::rename(log_path_, log_path_.string() + ".old", ec);
  FileDescriptor fd(::open(log_path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) fail_errno(name_, "cannot open the log " + log_path_.string());
  struct stat status {};
  log_offset_ = ::fstat(fd.get(), &status) == 0 ? static_cast<std::uint64_t>(status.st_size) : 0;
  return fd;
}

void VmFiles::remove() noexcept {
  for (const auto& socket : sockets_) ::unlink(socket.c_str());
  sockets_.clear();
  std::error_code ec;
  if (std::filesystem::file_size(log_path_, ec) == 0 && !ec) ::unlink(log_path_.c_str());
  ::unlink(lock_path_.c_str());
  if (lock_) ::flock(lock_.get(), LOCK_UN); // also for a QEMU that is being killed and still has the descriptor
  lock_.reset();
}

void VmFiles::remove_if_free() noexcept {
  try {
    if (auto lock = try_lock(lock_path_)) {
      lock_ = std::move(*lock);
      remove();
    }
  } catch (...) { // the folder is gone or no longer ours: nothing to clean
  }
}

} // namespace qemuctl::detail
