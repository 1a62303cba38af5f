// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "file_watch.hpp"

#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace test {

FolderWatch::FolderWatch(const std::filesystem::path& folder) : inotify_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
  if (!inotify_ || ::inotify_add_watch(inotify_.get(), folder.c_str(), IN_ALL_EVENTS & ~(IN_ACCESS | IN_OPEN)) < 0)
    throw std::system_error(errno, std::generic_category(), "watch " + folder.string());
}

bool FolderWatch::wait_until(const std::function<bool()>& condition, std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (!condition()) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd entry{inotify_.get(), POLLIN, 0};
    if (left.count() <= 0 || ::poll(&entry, 1, static_cast<int>(left.count())) == 0) return condition();
    char events[4096]; // their content does not matter
    while (::read(inotify_.get(), events, sizeof events) > 0) {
    }
  }
  return true;
}

} // namespace test
