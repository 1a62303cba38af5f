// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "text.hpp"

#include "utf8.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstddef>
#include <vector>

namespace qemuctl::detail {

namespace {

/// Of one character: C0, DEL, C1 (U+0080 to U+009F), U+2028 and U+2029.
bool is_control(std::string_view character) noexcept {
  const auto first = static_cast<unsigned char>(character[0]);
  if (character.size() == 1) return first < 0x20 || first == 0x7f;
  const auto second = static_cast<unsigned char>(character[1]);
  if (character.size() == 2) return first == 0xc2 && second < 0xa0;
  return character == "\u2028" || character == "\u2029";
}

} // namespace

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const std::string_view character = text.substr(0, length);
    if (length == 0)
      out += "\uFFFD";
    else if (character == "\t")
      out += ' ';
    else if (is_control(character))
      out += '?';
    else
      out += character;
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out;
}

std::string tail_of(std::string_view text, std::size_t max_lines) {
  std::vector<std::string> lines;
  while (!text.empty() && lines.size() < max_lines) {
    const std::size_t start = text.rfind('\n') + 1; // 0 when there is no more newline
    const std::string_view line = text.substr(start);
    text.remove_suffix(text.size() - (start == 0 ? 0 : start - 1));
    if (const auto last = line.find_last_not_of(" \t\r"); last != std::string_view::npos)
      lines.push_back(printable(line.substr(0, last + 1)));
  }
  return fmt::format("{}", fmt::join(lines.rbegin(), lines.rend(), "\n"));
}

} // namespace qemuctl::detail
