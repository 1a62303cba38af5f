// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "duration_text.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace qemuctl::detail {

std::string duration_text(std::chrono::milliseconds duration) {
  const auto count = std::max<std::chrono::milliseconds::rep>(duration.count(), 0);
  if (count < 1'000) return fmt::format("{} ms", count);
  const auto tenths = count / 100 % 10;
  return tenths == 0 ? fmt::format("{} s", count / 1'000) : fmt::format("{}.{} s", count / 1'000, tenths);
}

std::string elapsed_text(std::chrono::steady_clock::time_point start) {
  return duration_text(std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start));
}

} // namespace qemuctl::detail
