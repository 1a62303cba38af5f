// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "nearest_word.hpp"

#include <algorithm>
#include <cstddef>

namespace qemuctl::detail {

namespace {

// Longer words come from a hostile or broken file; comparing them would only cost time.
constexpr std::size_t max_word = 64;

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

} // namespace

std::size_t edit_distance(std::string_view a, std::string_view b) {
  // Damerau-Levenshtein in the "optimal string alignment" form, with the last three rows of the table.
  std::vector<std::size_t> before(b.size() + 1), above(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) above[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const char x = lower(a[i - 1]), y = lower(b[j - 1]);
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (x == y ? 0 : 1)});
      if (i > 1 && j > 1 && x == lower(b[j - 2]) && lower(a[i - 2]) == y) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    std::swap(before, above);
    std::swap(above, row);
  }
  return above[b.size()];
}

std::string nearest_word(std::string_view word, const std::vector<std::string>& known) {
  if (word.size() > max_word) return {};
  const std::string* best = nullptr;
  std::size_t best_distance = std::max<std::size_t>(1, word.size() / 3) + 1;
  for (const std::string& candidate : known) {
    if (candidate.size() > max_word) continue;
    const std::size_t distance = edit_distance(word, candidate);
    if (distance < best_distance) best = &candidate, best_distance = distance;
  }
  if (best) return *best;
  // One that is cut short, or was: "accelerator", "mac".
  constexpr std::size_t shortest = 3;
  for (const std::string& candidate : known) {
    const std::size_t size = std::min(word.size(), candidate.size());
    if (size >= shortest && std::equal(word.begin(), word.begin() + static_cast<std::ptrdiff_t>(size),
                                       candidate.begin(), [](char a, char b) { return lower(a) == lower(b); }))
      return candidate;
  }
  return {};
}

} // namespace qemuctl::detail
