// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>

namespace qemuctl::detail {

/// A duration for humans: "250 ms", "1.5 s", "30 s"; negative ones as "0 ms".
std::string duration_text(std::chrono::milliseconds duration);

/// The time since `start`, likewise.
std::string elapsed_text(std::chrono::steady_clock::time_point start);

} // namespace qemuctl::detail
