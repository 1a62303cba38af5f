// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// What a client of the device API sends is cut into the same lines whatever the pieces it comes in, and every line is a
// request or refused with a text that says why, and written down in one short line of the log.
#include "api_request.hpp"
#include "check.hpp"
#include "line_buffer.hpp"

#include <qemuctl/error.hpp>
#include <qemuctl/json.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

using namespace hotplug::detail;
using fuzz::check;
using qemuctl::Json;

namespace {

constexpr std::size_t max_line = 4'000, max_nesting = 16;

std::vector<std::optional<std::string>> lines_of(std::string_view bytes, std::size_t piece) {
  LineBuffer buffer(max_line);
  std::vector<std::optional<std::string>> lines;
  while (!bytes.empty()) {
    buffer.append(bytes.substr(0, piece));
    bytes.remove_prefix(std::min(piece, bytes.size()));
    while (const auto line = buffer.next())
      lines.push_back(line->too_long ? std::nullopt : std::optional<std::string>(line->text));
  }
  return lines;
}

void read_request(const std::string& line) {
  try {
    qemuctl::JsonParseOptions how;
    how.max_depth = max_nesting;
    const Json message = qemuctl::parse_json(line, how);
    if (const auto id = request_id(message)) fuzz::check_round_trip(*id);
    if (message.is_object()) {
      const std::string text = request_text(message);
      check(text.size() < 310 && text.starts_with('{'), "what is written down is short");
      check(std::none_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }),
            "it is one line");
      Json other = message;
      other.set("token", "another one");
      check(request_text(other) == text, "it shows no token");
    }
    const ApiRequest request = parse_request(message);
    check(request.known->name == message.at("action").as_string(), "a request is what it says");
    check(request.keys.size() <= 16 && request.timeout <= 600, "limits hold");
  } catch (const qemuctl::Error& error) {
    check(!error.diagnostics().detail.empty(), "a refusal says why");
    fuzz::check_round_trip(Json(error.what()));
  }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto lines = lines_of(bytes, size + 1);
  check(lines == lines_of(bytes, 1) && lines == lines_of(bytes, 7), "the pieces make no difference");
  for (const auto& line : lines) {
    check(!line || (line->size() <= max_line && line->find('\n') == line->npos), "a line is a line");
    if (line) read_request(*line);
  }
  return 0;
}
