// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace qemuctl::detail {

/// How many letters have to be inserted, deleted, replaced or swapped with their neighbour to make one word of the
/// other; upper and lower case count as equal.
std::size_t edit_distance(std::string_view a, std::string_view b);

/// The word in `known` that `word` was most likely meant to be; empty if none is close enough to help.
std::string nearest_word(std::string_view word, const std::vector<std::string>& known);

} // namespace qemuctl::detail
