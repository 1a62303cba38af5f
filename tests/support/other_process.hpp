// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace test {

/// A process that does nothing but hold the descriptors it inherits. Killed on destruction.
class OtherProcess {
 public:
  /// `name`: its /proc/PID/comm, at most 15 characters.
  explicit OtherProcess(const std::string& name);
  ~OtherProcess();
  OtherProcess(const OtherProcess&) = delete;
  OtherProcess& operator=(const OtherProcess&) = delete;

  int pid() const noexcept { return pid_; }

 private:
  int pid_ = -1;
};

} // namespace test
