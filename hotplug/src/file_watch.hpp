// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/posix/stream_descriptor.hpp>

#include <filesystem>

namespace hotplug::detail {

/// Waits for a change to a path: a file or socket that is created, removed or written; with a trailing slash, anything
/// in that folder. Parent folders need not exist.
///
/// Changes between two waits are not missed. Bound to one executor.
class FileWatch {
 public:
  /// Throws `std::system_error`.
  FileWatch(asio::any_io_executor executor, std::filesystem::path path);

  /// Returns when something has changed since the last call; may return spuriously. Can be cancelled.
  /// Throws `std::system_error`.
  asio::awaitable<void> changed();

 private:
  /// Whether anything on the path has changed.
  bool read_events();
  void watch_nearest_folder();

  std::filesystem::path path_;
  asio::posix::stream_descriptor inotify_;
  std::filesystem::path folder_; ///< the watched folder: the nearest one that exists
  int watch_ = -1;
};

} // namespace hotplug::detail
