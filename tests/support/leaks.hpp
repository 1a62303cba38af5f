// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

namespace test {

/// What a process holds at one moment: open descriptors, threads and descendant processes, each with a short
/// description.
///
/// Descendants are found by an environment variable that they inherit, so daemons that are no longer our children
/// count, too.
using Holdings = std::map<std::string, std::string>;

/// What this process holds now.
Holdings holdings();

/// True once a test case has ended with more than it started with; the listener reports what on stderr.
bool any_leaked() noexcept;

} // namespace test
