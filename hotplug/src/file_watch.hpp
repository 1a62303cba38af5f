// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/posix/stream_descriptor.hpp>

#include <filesystem>

namespace hotplug::detail {

/// Waits for something to happen to a path: a file, or a socket, that comes, goes, or is written; with a slash at its
/// end, to whatever is in that folder. The folders that lead to it need not exist.
///
/// What happens between two waits is not missed. Bound to one executor.
class FileWatch {
 public:
  /// Throws `std::system_error`.
  FileWatch(asio::any_io_executor executor, std::filesystem::path path);

  /// Returns when something has happened since the last call; it may also return for no reason. Can be cancelled.
  /// Throws `std::system_error`.
  asio::awaitable<void> changed();

 private:
  /// Whether anything on the way to the path has changed.
  bool read_events();
  void watch_nearest_folder();

  std::filesystem::path path_;
  asio::posix::stream_descriptor inotify_;
  std::filesystem::path folder_; ///< the one that is watched: the nearest that exists
  int watch_ = -1;
};

} // namespace hotplug::detail
