// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/json.hpp>

#include <cstddef>
#include <cstdint>
#include <random>
#include <string_view>

namespace test {

/// Whether `text` is JSON by the grammar of RFC 8259, with numbers that fit a double and (what simdjson wants)
/// exponents of at most 19 digits. Derived from the grammar alone, as a reference for a parser.
bool is_json(std::string_view text);

/// The same sequence for the same seed, on every machine.
class Random {
 public:
  explicit Random(int seed) : engine_(static_cast<std::uint64_t>(seed)) {}
  std::uint64_t bits() { return engine_(); }
  /// A number from 0 to `end` - 1.
  std::size_t below(std::size_t end) { return static_cast<std::size_t>(engine_() % end); }

 private:
  std::mt19937_64 engine_;
};

/// Any kind of value, with all sorts of strings and numbers, at most `depth` levels deep.
qemuctl::Json random_json(Random& random, std::size_t depth);

} // namespace test
