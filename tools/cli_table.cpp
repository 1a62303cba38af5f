// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "cli_table.hpp"

#include "text.hpp"

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace tool {

namespace {

/// In characters; those that take two places on a terminal are counted as one.
std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

} // namespace

std::string table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::vector<std::string>> cells;
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    auto& shown = cells.emplace_back();
    for (const std::string& cell : row) {
      shown.push_back(cell.empty() ? "-" : qemuctl::detail::printable(cell));
      if (widths.size() < shown.size()) widths.push_back(0);
      std::size_t& widest = widths[shown.size() - 1];
      widest = std::max(widest, width(shown.back()));
    }
  }
  std::string text;
  for (const auto& row : cells) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line += std::string(widths[i] - width(row[i]) + 2, ' ');
    }
    text += line + '\n';
  }
  return text;
}

} // namespace tool
