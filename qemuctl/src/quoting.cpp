// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include <qemuctl/command_line.hpp>

#include <algorithm>

namespace qemuctl {

std::string quote_for_shell(const std::vector<std::string>& words) {
  // "=" only matters in the first words, where a shell would take it for an assignment, and "~" and "#" only at the
  // start of a word, but they are rare.
  constexpr std::string_view harmless = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+:,./-";
  std::string line;
  bool command_seen = false;
  for (const std::string& word : words) {
    if (!line.empty()) line += ' ';
    const bool plain = !word.empty() && std::all_of(word.begin(), word.end(), [&](char c) {
      return harmless.find(c) != std::string_view::npos || (c == '=' && command_seen);
    });
    command_seen = true;
    if (plain) {
      line += word;
      continue;
    }
    line += '\'';
    for (const char c : word) {
      if (c == '\'')
        line += "'\\''";
      else
        line += c;
    }
    line += '\'';
  }
  return line;
}

std::string escape_option(std::string_view value) {
  std::string escaped;
  escaped.reserve(value.size());
  for (const char c : value) {
    escaped += c;
    if (c == ',') escaped += ',';
  }
  return escaped;
}

} // namespace qemuctl
