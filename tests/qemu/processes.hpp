// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/file_descriptor.hpp>

#include <string>

namespace test {

/// A pidfd of a process with `text` among its words; invalid when there is none.
qemuctl::FileDescriptor process_with(const std::string& text);

/// Waits for the process's end; false when it has not ended within 10 s.
bool ends(const qemuctl::FileDescriptor& process);

} // namespace test
