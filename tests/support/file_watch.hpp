// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/file_descriptor.hpp>

#include <chrono>
#include <filesystem>
#include <functional>

namespace test {

/// Notices everything that happens to the files of a folder after its construction.
class FolderWatch {
 public:
  explicit FolderWatch(const std::filesystem::path& folder);

  /// Waits until `condition` holds, checking after every change; false at the deadline.
  bool wait_until(const std::function<bool()>& condition, std::chrono::milliseconds timeout = std::chrono::seconds(60));

 private:
  qemuctl::FileDescriptor inotify_;
};

} // namespace test
