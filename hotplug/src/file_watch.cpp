// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "file_watch.hpp"

#include <asio/use_awaitable.hpp>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

namespace hotplug::detail {

namespace {

constexpr std::uint32_t in_folder = IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CLOSE_WRITE | IN_ATTRIB |
                                    IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

bool is_folder(const std::filesystem::path& path) {
  std::error_code ec;
  return std::filesystem::is_directory(path, ec);
}

} // namespace

FileWatch::FileWatch(asio::any_io_executor executor, std::filesystem::path path)
    : path_(std::filesystem::absolute(std::move(path))), inotify_(executor) {
  const int fd = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (fd < 0) fail("watch files");
  inotify_.assign(fd);
  watch_nearest_folder();
}

void FileWatch::watch_nearest_folder() {
  std::filesystem::path below; // what comes next on the way to the file; empty: the file itself
  do {
    std::filesystem::path folder = path_.parent_path();
    below.clear();
    int watch = -1;
    while ((watch = ::inotify_add_watch(inotify_.native_handle(), folder.c_str(), in_folder)) < 0) {
      if ((errno != ENOENT && errno != ENOTDIR) || folder == folder.root_path()) fail("watch files");
      below = std::exchange(folder, folder.parent_path());
    }
    if (watch_ >= 0 && watch_ != watch) ::inotify_rm_watch(inotify_.native_handle(), watch_);
    watch_ = watch;
    folder_ = std::move(folder);
    // One that was made between the two looks is told by no event.
  } while (!below.empty() && is_folder(below));
}

bool FileWatch::read_events() {
  bool changed = false;
  // What comes next on the way from the watched folder to the file.
  const std::string next = path_.lexically_relative(folder_).begin()->string();
  const bool any = !path_.has_filename() && folder_ == path_.parent_path();
  alignas(inotify_event) std::array<char, 4096> buffer;
  ssize_t size = 0;
  while ((size = ::read(inotify_.native_handle(), buffer.data(), buffer.size())) > 0)
    for (const char* at = buffer.data(); at < buffer.data() + size;) {
      const auto* event = reinterpret_cast<const inotify_event*>(at);
      const std::string name = event->len > 0 ? static_cast<const char*>(event->name) : "";
      changed = changed || any || name == next ||
                (event->mask & (IN_Q_OVERFLOW | IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED)) != 0;
      at += sizeof(inotify_event) + event->len;
    }
  if (size < 0 && errno != EAGAIN && errno != EINTR) fail("watch files");
  return changed;
}

asio::awaitable<void> FileWatch::changed() {
  for (;;) {
    if (read_events()) {
      const std::filesystem::path before = folder_;
      watch_nearest_folder();
      // A new folder may have the file in it already.
      if (folder_ != before || folder_ == path_.parent_path()) co_return;
    }
    co_await inotify_.async_wait(asio::posix::stream_descriptor::wait_read, asio::use_awaitable);
  }
}

} // namespace hotplug::detail
