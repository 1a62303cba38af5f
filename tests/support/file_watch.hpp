// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/file_descriptor.hpp>

#include <chrono>
#include <filesystem>
#include <functional>

namespace test {

/// Sees everything that happens to the files of a folder from when it is made on.
class FolderWatch {
 public:
  explicit FolderWatch(const std::filesystem::path& folder);

  /// Waits until `condition` holds, looking whenever something has happened; false when the time is over.
  bool wait_until(const std::function<bool()>& condition, std::chrono::milliseconds timeout = std::chrono::seconds(60));

 private:
  qemuctl::FileDescriptor inotify_;
};

} // namespace test
