// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

namespace test {

/// The text of a file in /proc; empty if its process is gone, or belongs to another user.
std::string read_proc_file(const std::string& path);

/// Calls back with every number that is a name in the folder: descriptors, threads, processes.
void each_number_in(const char* folder, const std::function<void(int number)>& visit);

} // namespace test
