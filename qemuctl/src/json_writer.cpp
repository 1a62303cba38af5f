// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "utf8.hpp"

#include <qemuctl/json.hpp>

#include <array>
#include <charconv>
#include <cmath>

namespace qemuctl {

namespace {

void write_escape(unsigned char c, std::string& out) {
  switch (c) {
  case '"':
    out += "\\\"";
    return;
  case '\\':
    out += "\\\\";
    return;
  case '\b':
    out += "\\b";
    return;
  case '\f':
    out += "\\f";
    return;
  case '\n':
    out += "\\n";
    return;
  case '\r':
    out += "\\r";
    return;
  case '\t':
    out += "\\t";
    return;
  default:
    constexpr std::string_view digits = "0123456789abcdef";
    out += "\\u00";
    out += digits[c >> 4];
    out += digits[c & 0xF];
  }
}

void write_string(std::string_view text, std::string& out) {
  out += '"';
  std::size_t done = 0; // what comes before is written
  std::size_t i = 0;
  while (i < text.size()) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c < 0x7F && c != '"' && c != '\\') {
      ++i;
    } else if (const std::size_t length = detail::utf8_length(text.substr(i)); length > 1) {
      i += length;
    } else {
      out.append(text, done, i - done);
      if (length == 0)
        out += "\\ufffd";
      else
        write_escape(c, out);
      done = ++i;
    }
  }
  out.append(text, done, i - done);
  out += '"';
}

void write_real(double value, std::string& out) {
  if (!std::isfinite(value)) {
    out += "null";
    return;
  }
  std::array<char, 32> buffer; // the shortest form that reads back as the same value has at most 24 characters
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  const std::string_view digits(buffer.data(), static_cast<std::size_t>(end - buffer.data()));
  out += digits;
  if (digits.find_first_of(".e") == std::string_view::npos) out += ".0"; // it stays a real number when read back
}

/// Writes on one line when `indent` is negative.
void write(const Json& value, std::string& out, int indent) {
  const bool lines = indent >= 0;
  const auto new_line = [&](int depth) {
    if (!lines) return;
    out += '\n';
    out.append(2 * static_cast<std::size_t>(depth), ' ');
  };
  const int inner = lines ? indent + 1 : indent;

  switch (value.kind()) {
  case Json::Kind::null:
    out += "null";
    break;
  case Json::Kind::boolean:
    out += value.as_bool() ? "true" : "false";
    break;
  case Json::Kind::integer:
    out += std::to_string(value.as_int());
    break;
  case Json::Kind::unsigned_integer:
    out += std::to_string(value.as_uint());
    break;
  case Json::Kind::real:
    write_real(value.as_double(), out);
    break;
  case Json::Kind::string:
    write_string(value.as_string(), out);
    break;
  case Json::Kind::array: {
    out += '[';
    bool first = true;
    for (const Json& item : value.as_array()) {
      if (!std::exchange(first, false)) out += ',';
      new_line(inner);
      write(item, out, inner);
    }
    if (!first) new_line(indent);
    out += ']';
    break;
  }
  case Json::Kind::object: {
    out += '{';
    bool first = true;
    for (const auto& [key, member] : value.as_object()) {
      if (!std::exchange(first, false)) out += ',';
      new_line(inner);
      write_string(key, out);
      out += lines ? ": " : ":";
      write(member, out, inner);
    }
    if (!first) new_line(indent);
    out += '}';
    break;
  }
  }
}

} // namespace

void Json::dump_to(std::string& out) const {
  write(*this, out, -1);
}

std::string Json::dump() const {
  std::string out;
  dump_to(out);
  return out;
}

std::string Json::pretty() const {
  std::string out;
  write(*this, out, 0);
  return out;
}

} // namespace qemuctl
