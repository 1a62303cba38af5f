// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace test {

/// Ends the test case as skipped, because something it needs is missing on this machine; `reason` says what, and how to
/// get it.
///
/// With `QEMUCTL_NO_SKIP=1` in the environment, as in CI, the case fails instead.
[[noreturn]] void skip(std::string_view reason);

/// True once skip() was called in this process.
bool any_skipped() noexcept;

} // namespace test
