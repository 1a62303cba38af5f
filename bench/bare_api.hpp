// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace bench {

/// The baseline of the device API: a Unix socket on which each line is answered with `answer`, but for "tell", after
/// which all others get `event`. Nothing is parsed, nothing queued. Never returns.
[[noreturn]] void serve_bare(const std::string& socket, const std::string& answer, const std::string& event);

} // namespace bench
