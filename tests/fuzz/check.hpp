// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/json.hpp>

#include <cstdio>
#include <cstdlib>

namespace fuzz {

/// Ends the program, which is how libFuzzer learns of a finding, when a promise is broken.
inline void check(bool kept, const char* promise) {
  if (kept) return;
  std::fprintf(stderr, "broken promise: %s\n", promise);
  std::abort();
}

/// A value written and read again is the same value.
inline void check_round_trip(const qemuctl::Json& value) {
  check(qemuctl::parse_json(value.dump()) == value, "a JSON value survives dump()");
  check(qemuctl::parse_json(value.pretty()) == value, "a JSON value survives pretty()");
}

} // namespace fuzz
