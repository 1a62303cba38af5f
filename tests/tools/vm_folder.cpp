// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "vm_folder.hpp"

#include "catch.hpp"

#include <qemuctl/file_descriptor.hpp>

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>
#include <fstream>
#include <iterator>

using qemuctl::FileDescriptor;
using qemuctl::Json;

namespace {

constexpr int end_timeout_ms = 20'000;

FileDescriptor open_pidfd(int pid) {
  return FileDescriptor(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}

bool wait_for_end(const FileDescriptor& process) {
  pollfd wait{process.get(), POLLIN, 0};
  return ::poll(&wait, 1, end_timeout_ms) == 1;
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

} // namespace

namespace test {

VmFolder::VmFolder(const std::filesystem::path& qemu, Guest guest) {
  config = Json::object({{"name", "vm"}, {"qemuPath", qemu.string()}, {"socketDir", folder_.path().string()}});
  if (guest == Guest::none) return;
  const DemoGuest files = demo_guest();
  config.set("memory", "128M");
  config.set("boot", Json::object({{"kernel", files.kernel.string()},
                                   {"initrd", files.initrd.string()},
                                   {"append", "console=ttyS0 quiet"}}));
  config.set("serials", Json::array({Json::object({{"type", "socket"}})}));
}

VmFolder::~VmFolder() {
  for (const int pid : vms()) {
    const FileDescriptor process = open_pidfd(pid);
    if (!process) continue;
    ::syscall(SYS_pidfd_send_signal, process.get(), SIGKILL, nullptr, 0);
    wait_for_end(process);
  }
}

std::string VmFolder::vm_file() const {
  const auto path = folder_ / "vm.json";
  std::ofstream(path) << config.pretty();
  return path.string();
}

std::vector<int> VmFolder::vms() const {
  std::vector<int> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    int pid = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), pid).ec != std::errc{}) continue;
    const std::string words = read_file(entry.path() / "cmdline");
    if (words.find("qemu-system") == std::string::npos) continue;
    // QEMU inherits its sockets from the library, so its arguments need not name the folder; but its log is there.
    std::error_code gone;
    const std::string log = std::filesystem::read_symlink(entry.path() / "fd/1", gone);
    const std::string folder = folder_.path().string() + "/";
    if (words.find(folder) != std::string::npos || log.starts_with(folder)) found.push_back(pid);
  }
  return found;
}

void wait_until_gone(int pid) {
  const FileDescriptor process = open_pidfd(pid);
  if (process && !wait_for_end(process)) FAIL("process " << pid << " does not end");
}

} // namespace test
