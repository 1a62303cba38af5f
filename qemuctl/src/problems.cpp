// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "problems.hpp"

#include "text.hpp"

#include <qemuctl/json.hpp>

#include <fmt/format.h>

namespace qemuctl::detail {

void Problems::add(std::string path, std::string_view found, std::string_view expected) {
  add(std::move(path), fmt::format("found {}, expected {}", found, expected));
}

void Problems::append(const Problems& others) {
  problems_.insert(problems_.end(), others.problems_.begin(), others.problems_.end());
}

void Problems::throw_if_any(errc code, std::string operation, std::string subject) const {
  if (empty()) return;
  std::string detail = problems_.size() > 1 ? fmt::format("{} problems:", problems_.size()) : std::string();
  for (const Problem& problem : problems_) {
    if (problems_.size() > 1) detail += "\n  ";
    if (!problem.path.empty()) detail += problem.path + ": ";
    detail += problem.text;
  }
  Diagnostics diagnostics;
  diagnostics.operation = std::move(operation);
  diagnostics.subject = std::move(subject);
  diagnostics.detail = std::move(detail);
  throw Error(make_error_code(code), std::move(diagnostics));
}

std::string in_quotes(std::string_view text) {
  constexpr std::size_t longest = 100;
  if (text.size() <= longest) return printable(Json(text).dump());
  // Not in the middle of a UTF-8 sequence.
  std::size_t end = longest;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return printable(Json(std::string(text.substr(0, end)) + "...").dump());
}

std::string quoted_if_needed(std::string_view text) {
  std::string quoted = in_quotes(text);
  return quoted == fmt::format("\"{}\"", text) ? std::string(text) : quoted;
}

std::string listed(const std::vector<std::string>& words, std::string_view conjunction) {
  std::string list;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) list += i + 1 == words.size() ? fmt::format(" {} ", conjunction) : ", ";
    list += in_quotes(words[i]);
  }
  return list;
}

} // namespace qemuctl::detail
