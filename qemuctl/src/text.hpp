// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace qemuctl::detail {

/// Text from another process as it can be shown in one line of a message: tabs become spaces, other control characters
/// (C1 and the Unicode line separators, too) become '?', and what is no UTF-8 becomes U+FFFD.
std::string printable(std::string_view text);

/// The last lines of a text that have something in them, at most `max_lines`, each as `printable` shows it.
std::string tail_of(std::string_view text, std::size_t max_lines = 10);

} // namespace qemuctl::detail
