// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

namespace test {

/// What a process holds at one moment: open descriptors, threads and descendant processes, each with a word about what
/// it is.
///
/// Descendants are found by an environment variable that they inherit, so a daemon that is no longer our child counts
/// too.
using Holdings = std::map<std::string, std::string>;

/// What this process holds now.
Holdings holdings();

/// True once a test case ended with more than it began with; the listener has said what, on stderr.
bool any_leaked() noexcept;

} // namespace test
