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

constexpr std::size_t shortest_part = 3;

/// Whether `name` is `part` with something before or behind it, joined by a hyphen.
bool has_part(std::string_view name, std::string_view part) {
  if (part.size() < shortest_part || name.size() <= part.size() + 1) return false;
  const std::size_t rest = name.size() - part.size();
  return (name.starts_with(part) && name[part.size()] == '-') || (name.ends_with(part) && name[rest - 1] == '-');
}

/// Whether one is the other cut short: "accelerator", "mac".
bool begin_alike(std::string_view a, std::string_view b) {
  const std::size_t size = std::min(a.size(), b.size());
  return size >= shortest_part && std::equal(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(size), b.begin(),
                                             [](char x, char y) { return lower(x) == lower(y); });
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
  if (best && best_distance <= 1) return *best;
  // Of names with parts some may be left out: "virtio-net", "tablet". The shortest adds the least.
  const std::string* longer = nullptr;
  for (const std::string& candidate : known)
    if (has_part(candidate, word) && (!longer || candidate.size() < longer->size())) longer = &candidate;
  if (longer) return *longer;
  if (best) return *best;
  for (const std::string& candidate : known)
    if (begin_alike(word, candidate)) return candidate;
  return {};
}

} // namespace qemuctl::detail
