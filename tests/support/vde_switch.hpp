// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <filesystem>
#include <fstream>

namespace test {

/// A VDE switch in its own folder. It exits at the end of its input.
class VdeSwitch {
 public:
  explicit VdeSwitch(const std::filesystem::path& folder);
  ~VdeSwitch();
  VdeSwitch(const VdeSwitch&) = delete;
  VdeSwitch& operator=(const VdeSwitch&) = delete;

 private:
  std::FILE* input_ = nullptr;
  std::ifstream output_;
};

} // namespace test
