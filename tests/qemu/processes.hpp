// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/file_descriptor.hpp>

#include <string>

namespace test {

/// A pidfd of a process with `text` among its arguments; invalid if there is none.
qemuctl::FileDescriptor process_with(const std::string& text);

/// Waits for the process to end; false if it has not within 10 s.
bool ends(const qemuctl::FileDescriptor& process);

} // namespace test
