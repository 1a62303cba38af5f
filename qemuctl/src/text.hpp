// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace qemuctl::detail {

/// Text from another process made safe for one line of a message: tabs become spaces, other control characters
/// (C1 and the Unicode line separators, too) become '?', and invalid UTF-8 becomes U+FFFD.
std::string printable(std::string_view text);

/// The last non-empty lines of a text, at most `max_lines`, each as `printable` shows it.
std::string tail_of(std::string_view text, std::size_t max_lines = 10);

} // namespace qemuctl::detail
