// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace test {

/// Runs a program that a test needs (`qemu-img`, `openssl`, ...) and returns its output. Skips the case if it is not
/// installed, and fails it, quoting the output, if the program fails.
std::string run_command(const std::vector<std::string>& argv);

} // namespace test
