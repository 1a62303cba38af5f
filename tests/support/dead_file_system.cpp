// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "dead_file_system.hpp"

#include "skip.hpp"
#include "temp_dir.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fuse.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <future>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

namespace test {

namespace {

struct InitReply {
  fuse_out_header header;
  fuse_init_out init;
};

/// The kernel's end of a FUSE file system, also where a container has no node for it.
qemuctl::FileDescriptor open_fuse() {
  qemuctl::FileDescriptor fuse(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  if (fuse || errno != ENOENT) return fuse;
  const TempDir dir;
  ::mknod((dir / "fuse").c_str(), S_IFCHR | 0600, makedev(10, 229)); // Documentation/admin-guide/devices.txt
  fuse.reset(::open((dir / "fuse").c_str(), O_RDWR | O_CLOEXEC));
  return fuse;
}

} // namespace

DeadFileSystem::DeadFileSystem(std::filesystem::path folder) : folder_(std::move(folder)) {
  std::filesystem::create_directories(folder_);
  server_ = open_fuse();
  const std::string options = fmt::format("fd={},rootmode=40000,user_id=0,group_id=0", server_.get());
  if (!server_ || ::mount("dead", folder_.c_str(), "fuse", MS_NOSUID | MS_NODEV, options.c_str()) != 0)
    skip("a file system that does not answer takes /dev/fuse and the right to mount: run this as root");
}

DeadFileSystem::~DeadFileSystem() {
  end();
  if (taker_.joinable()) taker_.join();
  ::umount2(folder_.c_str(), MNT_DETACH);
}

void DeadFileSystem::take_requests() {
  alignas(fuse_in_header) std::array<char, FUSE_MIN_READ_BUFFER> request;
  if (::read(server_.get(), request.data(), request.size()) < 0)
    throw std::system_error(errno, std::generic_category(), "read from /dev/fuse");
  // The first request of all; what comes before its reply is not sent.
  const auto& asked = *reinterpret_cast<const fuse_in_header*>(request.data());
  InitReply reply{};
  reply.header.len = sizeof reply;
  reply.header.unique = asked.unique;
  reply.init.major = FUSE_KERNEL_VERSION;
  reply.init.minor = FUSE_KERNEL_MINOR_VERSION;
  reply.init.max_write = 4096;
  if (asked.opcode != FUSE_INIT || ::write(server_.get(), &reply, sizeof reply) != sizeof reply)
    throw std::runtime_error("the kernel does not begin to use the file system");
  taker_ = std::thread([fd = server_.get()] {
    std::array<char, FUSE_MIN_READ_BUFFER> taken;
    while (::read(fd, taken.data(), taken.size()) > 0 || errno == EINTR) {
    }
  });
}

void DeadFileSystem::end() {
  ::umount2(folder_.c_str(), MNT_FORCE); // also when another process has inherited the server
}

bool DeadFileSystem::lets_end(std::function<void()> work) {
  std::future<void> done = std::async(std::launch::async, std::move(work));
  const bool ended = done.wait_for(std::chrono::seconds(5)) == std::future_status::ready;
  end();
  done.get();
  return ended;
}

} // namespace test
