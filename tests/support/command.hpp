// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace test {

/// Runs a program of the machine that a test needs (`qemu-img`, `openssl`, ...) and gives what it printed. Skips the
/// case when it is not installed, and fails it, with what was printed, when the program does.
std::string run_command(const std::vector<std::string>& argv);

} // namespace test
