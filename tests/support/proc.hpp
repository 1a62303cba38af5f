// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

namespace test {

/// The text of a file in /proc; empty when what it tells of is gone, or is somebody else's.
std::string read_proc_file(const std::string& path);

/// Calls back with every number that is a name in the folder: descriptors, threads, processes.
void each_number_in(const char* folder, const std::function<void(int number)>& visit);

} // namespace test
