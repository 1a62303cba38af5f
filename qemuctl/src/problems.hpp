// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/error.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace qemuctl::detail {

/// Collects all problems of a VM description, so that they are reported together.
class Problems {
 public:
  struct Problem {
    std::string path; ///< of the value, as in vm.json: `disks[1].backend.type`; empty: the whole
    std::string text;
  };

  void add(std::string path, std::string text) { problems_.push_back({std::move(path), std::move(text)}); }
  /// "found F, expected E"
  void add(std::string path, std::string_view found, std::string_view expected);

  void append(const Problems& others);

  bool empty() const noexcept { return problems_.empty(); }
  const std::vector<Problem>& all() const noexcept { return problems_; }

  /// Throws one `Error` with a line for each problem in `detail`; does nothing when there is none.
  void throw_if_any(errc code, std::string operation, std::string subject) const;

 private:
  std::vector<Problem> problems_;
};

/// `text` in double quotes as part of a message: control characters escaped, cut when it is long.
std::string in_quotes(std::string_view text);

/// `text` as it is if it is short and printable, otherwise as `in_quotes` shows it.
std::string quoted_if_needed(std::string_view text);

/// `"a", "b" or "c"`
std::string listed(const std::vector<std::string>& words, std::string_view conjunction = "or");

} // namespace qemuctl::detail
