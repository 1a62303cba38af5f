// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// parse_json accepts exactly the texts of the JSON grammar, and what it accepts survives being written and read again.
#include "check.hpp"
#include "json_samples.hpp"

#include <qemuctl/error.hpp>
#include <qemuctl/json.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

using namespace qemuctl;
using fuzz::check;

namespace {

std::optional<Json> parse(std::string_view text, const JsonParseOptions& options = {}) {
  try {
    return parse_json(text, options);
  } catch (const Error& error) {
    check(error.code() == errc::invalid_argument, "bad JSON is an invalid argument");
    check(error.diagnostics().detail.starts_with("JSON:"), "the error tells the place");
    return std::nullopt;
  }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  // The grammar knows no limit for the nesting.
  const auto opens = std::ranges::count_if(text, [](char c) { return c == '[' || c == '{'; });
  if (opens > 1'000) return 0;

  const auto value = parse(text);
  check(value.has_value() == test::is_json(text), "exactly the grammar's texts are accepted");
  if (!value) return 0;
  fuzz::check_round_trip(*value);
  if (const auto strict = parse(text, {.refuse_duplicate_keys = true}))
    check(*strict == *value, "refusing duplicates changes nothing else");
  return 0;
}
