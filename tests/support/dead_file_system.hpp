// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/file_descriptor.hpp>

#include <filesystem>
#include <functional>
#include <thread>

namespace test {

/// A file system that does not answer, as one on a server that is gone.
class DeadFileSystem {
 public:
  /// Mounts it on that folder, which is made. Skips the case where this user may not do that.
  explicit DeadFileSystem(std::filesystem::path folder);
  ~DeadFileSystem();
  DeadFileSystem(const DeadFileSystem&) = delete;
  DeadFileSystem& operator=(const DeadFileSystem&) = delete;

  /// It takes requests from now on, still without answering: whoever has made one cannot even be killed.
  void take_requests();
  /// From now on whoever waits for it gets an error.
  void end();

  /// Whether that ends although the file system does not answer. It does at the latest when this has ended the file
  /// system.
  bool lets_end(std::function<void()> work);

 private:
  std::filesystem::path folder_;
  qemuctl::FileDescriptor server_;
  std::thread taker_;
};

} // namespace test
