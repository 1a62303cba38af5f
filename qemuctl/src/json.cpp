// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "utf8.hpp"

#include <qemuctl/error.hpp>
#include <qemuctl/json.hpp>

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <new>
#include <set>

namespace qemuctl {

namespace {

// --- values -----------------------------------------------------------------------------------------------------

const char* name_of(Json::Kind kind) {
  switch (kind) {
  case Json::Kind::null:
    return "null";
  case Json::Kind::boolean:
    return "a boolean";
  case Json::Kind::integer:
  case Json::Kind::unsigned_integer:
    return "an integer";
  case Json::Kind::real:
    return "a real number";
  case Json::Kind::string:
    return "a string";
  case Json::Kind::array:
    return "an array";
  case Json::Kind::object:
    return "an object";
  }
  return "an unknown value";
}

[[noreturn]] void refuse_access(std::string detail) {
  throw Error(errc::invalid_argument, {.operation = "use a JSON value", .detail = std::move(detail)});
}

[[noreturn]] void refuse_kind(const char* expected, Json::Kind found) {
  refuse_access(std::string(expected) + " is expected, not " + name_of(found));
}

} // namespace

Json Json::array(Array items) {
  return Json(std::move(items));
}

Json Json::object(Object members) {
  return Json(std::move(members));
}

Json::Kind Json::kind() const noexcept {
  static_assert(std::variant_size_v<decltype(value_)> == static_cast<std::size_t>(Kind::object) + 1);
  return static_cast<Kind>(value_.index());
}

bool Json::as_bool() const {
  if (const auto* value = std::get_if<bool>(&value_)) return *value;
  refuse_kind("a boolean", kind());
}

std::int64_t Json::as_int() const {
  if (const auto* value = std::get_if<std::int64_t>(&value_)) return *value;
  if (is_integer()) refuse_access("the integer " + dump() + " is too big for 64 signed bits");
  refuse_kind("an integer", kind());
}

std::uint64_t Json::as_uint() const {
  if (const auto* value = std::get_if<std::uint64_t>(&value_)) return *value;
  if (const auto* value = std::get_if<std::int64_t>(&value_)) {
    if (*value < 0) refuse_access("an integer from 0 is expected, not " + dump());
    return static_cast<std::uint64_t>(*value);
  }
  refuse_kind("an integer", kind());
}

double Json::as_double() const {
  if (const auto* value = std::get_if<double>(&value_)) return *value;
  if (const auto* value = std::get_if<std::int64_t>(&value_)) return static_cast<double>(*value);
  if (const auto* value = std::get_if<std::uint64_t>(&value_)) return static_cast<double>(*value);
  refuse_kind("a number", kind());
}

const std::string& Json::as_string() const {
  if (const auto* value = std::get_if<std::string>(&value_)) return *value;
  refuse_kind("a string", kind());
}

const Json::Array& Json::as_array() const {
  if (const auto* value = std::get_if<Array>(&value_)) return *value;
  refuse_kind("an array", kind());
}

Json::Array& Json::as_array() {
  if (auto* value = std::get_if<Array>(&value_)) return *value;
  refuse_kind("an array", kind());
}

const Json::Object& Json::as_object() const {
  if (const auto* value = std::get_if<Object>(&value_)) return *value;
  refuse_kind("an object", kind());
}

Json::Object& Json::as_object() {
  if (auto* value = std::get_if<Object>(&value_)) return *value;
  refuse_kind("an object", kind());
}

const Json& Json::at(std::string_view key) const {
  if (!is_object()) refuse_kind("an object", kind());
  if (const Json* value = find(key)) return *value;
  refuse_access("the member " + Json(key).dump() + " is missing");
}

const Json& Json::at(std::size_t index) const {
  const Array& items = as_array();
  if (index >= items.size())
    refuse_access("the array has " + std::to_string(items.size()) + " items, none with index " + std::to_string(index));
  return items[index];
}

const Json* Json::find(std::string_view key) const noexcept {
  const auto* members = std::get_if<Object>(&value_);
  if (members == nullptr) return nullptr;
  const auto found = std::ranges::find(*members, key, &Member::first);
  return found == members->end() ? nullptr : &found->second;
}

Json& Json::set(std::string_view key, Json value) {
  if (is_null()) value_ = Object{};
  Object& members = as_object();
  const auto found = std::ranges::find(members, key, &Member::first);
  if (found == members.end())
    members.emplace_back(std::string(key), std::move(value));
  else
    found->second = std::move(value);
  return *this;
}

Json& Json::push_back(Json value) {
  if (is_null()) value_ = Array{};
  as_array().push_back(std::move(value));
  return *this;
}

std::size_t Json::size() const noexcept {
  if (const auto* items = std::get_if<Array>(&value_)) return items->size();
  if (const auto* members = std::get_if<Object>(&value_)) return members->size();
  return 0;
}

// --- writing ----------------------------------------------------------------------------------------------------

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

// --- reading ----------------------------------------------------------------------------------------------------

namespace {

namespace ondemand = simdjson::ondemand;

constexpr std::size_t deepest = 1'024; // QEMU's own limit; reading, writing and destroying a value recurse

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/// The start of `text` for an error message, in single quotes and with what is unprintable escaped.
std::string quoted(std::string_view text) {
  constexpr std::size_t enough = 20;
  std::string out = "'";
  std::size_t i = 0;
  while (i < text.size() && i < enough) {
    const auto c = static_cast<unsigned char>(text[i]);
    const std::size_t length = detail::utf8_length(text.substr(i));
    if (length == 0)
      out += "\\ufffd";
    else if (length == 1 && (c < 0x20 || c == 0x7F))
      write_escape(c, out);
    else
      out.append(text, i, length);
    i += std::max<std::size_t>(length, 1);
  }
  if (i < text.size()) out += "...";
  return out += "'";
}

/// A token of simdjson's reaches up to the next one.
std::string_view word(std::string_view token) {
  return token.substr(0, token.find_first_of(" \t\r\n"));
}

/// Reads one document with simdjson's On-Demand API. That looks only at what it is asked for, so every value is asked
/// for and every separator looked at.
///
/// The text is put into brackets first. simdjson treats a scalar at the root unlike any other and does not look at what
/// follows a root that is a container; as the only item of an array the root is a value like all others, and the
/// closing bracket is where the text ends.
class Reader {
 public:
  Reader(std::string_view text, const JsonParseOptions& options)
      : options_(options), max_depth_(std::min(options.max_depth, deepest)), padded_(text.size() + 2) {
    if (padded_.data() == nullptr) throw std::bad_alloc();
    padded_.data()[0] = '[';
    std::ranges::copy(text, padded_.data() + 1);
    padded_.data()[text.size() + 1] = ']';
    begin_ = padded_.data() + 1;
    end_ = begin_ + text.size();
  }

  Json read_document() {
    // simdjson takes a NUL byte after a number for white space.
    if (const char* nul = std::find(begin_, end_, '\0'); nul != end_) refuse(nul, "a NUL byte is not allowed");
    const char* first = skip_space(begin_);
    if (first == end_) refuse(first, "there is no value");
    if (*first == ']') refuse_value(first); // it would close our bracket

    ondemand::parser parser;
    check(parser.allocate(padded_.size(), deepest + 8)); // some room for what simdjson counts as depth
    if (const auto error = parser.iterate(padded_).get(document_)) refuse_text(error);
    ondemand::array root;
    check(document_.get_array().get(root));

    Json result;
    for (auto item : root) {
      ondemand::value value;
      check(item.get(value));
      result = read(value, 0);
      const char* next = nullptr;
      if (document_.current_location().get(next)) refuse_incomplete();
      if (next != end_) refuse(next, "nothing may follow the value, but there is " + found_at(next));
    }
    return result;
  }

 private:
  Json read(ondemand::value value, std::size_t depth) {
    const std::string_view token = value.raw_json_token();
    const char* at = token.data();
    if (at >= end_) refuse_value(at);
    switch (*at) {
    case '{':
      check_depth(at, depth);
      return read_object(value, at, depth);
    case '[':
      check_depth(at, depth);
      return read_array(value, depth);
    case '"':
      return read_string(value, at);
    case 't':
    case 'f': {
      bool result = false;
      if (value.get_bool().get(result)) refuse_token(token);
      return result;
    }
    case 'n': {
      bool result = false;
      if (simdjson::simdjson_result<bool>(value.is_null()).get(result) || !result) refuse_token(token);
      return nullptr;
    }
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
      return read_number(value, token);
    default:
      refuse_value(at);
    }
  }

  Json read_array(ondemand::value value, std::size_t depth) {
    ondemand::array array;
    check(value.get_array().get(array));
    Json::Array items;
    for (auto element : array) {
      ondemand::value item;
      check(element.get(item));
      items.push_back(read(item, depth + 1));
      expect_separator(']');
    }
    return Json::array(std::move(items));
  }

  Json read_object(ondemand::value value, const char* before_name, std::size_t depth) {
    ondemand::object object;
    check(value.get_object().get(object));
    Json::Object members;
    std::set<std::string_view> names; // of views into the parser's buffer; a set so that no choice of names is slow
    for (auto element : object) {
      ondemand::field field;
      if (std::move(element).get(field)) refuse_member(before_name);
      const char* at = field.key().raw() - 1;
      std::string_view name;
      if (field.unescaped_key().get(name)) refuse_escape(at);
      if (options_.refuse_duplicate_keys && !names.insert(name).second)
        refuse(at, "the member " + Json(name).dump() + " is there twice");
      members.emplace_back(name, read(field.value(), depth + 1));
      before_name = expect_separator('}');
    }
    return Json::object(std::move(members));
  }

  Json read_string(ondemand::value value, const char* at) {
    std::string_view text;
    if (value.get_string().get(text)) refuse_escape(at);
    return text;
  }

  Json read_number(ondemand::value value, std::string_view token) {
    std::int64_t integer = 0;
    if (!value.get_int64().get(integer)) return integer;
    std::uint64_t unsigned_integer = 0;
    if (!value.get_uint64().get(unsigned_integer)) return unsigned_integer;
    double real = 0;
    if (!value.get_double().get(real)) return real;
    refuse(token.data(), quoted(word(token)) + " is no JSON number, or too big for one");
  }

  /// What comes after an item or a member.
  const char* expect_separator(char close) {
    const char* next = end_;
    if (document_.current_location().get(next)) next = end_; // even our own bracket was taken for the text's
    if (next < end_ && (*next == ',' || *next == close)) return next;
    refuse(next, std::string("',' or '") + close + "' is expected, not " + found_at(next));
  }

  void check_depth(const char* at, std::size_t depth) const {
    if (depth >= max_depth_)
      refuse(at, "arrays and objects are nested deeper than " + std::to_string(max_depth_) + " levels");
  }

  void check(simdjson::error_code error) const {
    if (error == simdjson::SUCCESS) return;
    if (error == simdjson::MEMALLOC) throw std::bad_alloc();
    if (error == simdjson::INCOMPLETE_ARRAY_OR_OBJECT) refuse_incomplete();
    refuse(begin_, simdjson::error_message(error));
  }

  // --- what is wrong, and where ---

  [[noreturn]] void refuse(const char* at, const std::string& what) const {
    at = std::min(at, end_);
    const auto line = 1 + std::count(begin_, at, '\n');
    const char* line_start = at;
    while (line_start != begin_ && line_start[-1] != '\n') --line_start;
    const auto column = 1 + (at - line_start);
    throw Error(errc::invalid_argument,
                {.operation = "parse the document",
                 .detail = options_.source + ":" + std::to_string(line) + ":" + std::to_string(column) + ": " + what});
  }

  [[noreturn]] void refuse_value(const char* at) const { refuse(at, "a value is expected, not " + found_at(at)); }

  [[noreturn]] void refuse_token(std::string_view token) const {
    refuse(token.data(), quoted(word(token)) + " is no JSON value");
  }

  [[noreturn]] void refuse_escape(const char* at) const {
    refuse(at, "the string contains an invalid escape sequence");
  }

  [[noreturn]] void refuse_incomplete() const { refuse(end_, "the text ends inside an array or object"); }

  /// A member's name or its colon is missing; `before` is the brace or comma before it.
  [[noreturn]] void refuse_member(const char* before) const {
    const char* at = skip_space(before + 1);
    if (at == end_ || *at != '"') refuse(at, "a member's name in double quotes is expected, not " + found_at(at));
    at = skip_space(skip_string(at));
    refuse(at, "':' is expected, not " + found_at(at));
  }

  /// The whole text was looked at before any value, and something is wrong with it. That check tells no place.
  [[noreturn]] void refuse_text(simdjson::error_code error) const {
    if (error == simdjson::MEMALLOC) throw std::bad_alloc();
    for (const char* at = begin_; at != end_;) {
      const std::size_t length = detail::utf8_length({at, end_});
      if (length == 0) refuse(at, "this is no valid UTF-8: " + found_at(at));
      at += length;
    }
    for (const char* at = begin_; at != end_;) {
      if (*at != '"') {
        ++at;
        continue;
      }
      const char* close = skip_string(at);
      const char* control = std::find_if(at, close, [](char c) { return static_cast<unsigned char>(c) < 0x20; });
      if (control != close && *control != '\n' && *control != '\r')
        refuse(control, "a control character in a string must be escaped, like \\t");
      if (control != close || close == end_) refuse(at, "the string does not end on its line");
      at = close;
    }
    refuse(begin_, simdjson::error_message(error));
  }

  std::string found_at(const char* at) const {
    if (at >= end_) return "the end";
    const std::string_view rest(at, end_);
    if (rest.starts_with("\xEF\xBB\xBF")) return "a byte order mark";
    const std::size_t length = detail::utf8_length(rest);
    if (length > 0) return quoted(rest.substr(0, length));
    constexpr std::string_view digits = "0123456789abcdef";
    const auto byte = static_cast<unsigned char>(*at);
    return std::string("byte 0x") + digits[byte >> 4] + digits[byte & 0xF];
  }

  const char* skip_space(const char* at) const { return std::find_if_not(at, end_, is_space); }

  /// From the opening quote to behind the closing one, or to the end.
  const char* skip_string(const char* at) const {
    for (++at; at < end_ && *at != '"'; ++at)
      if (*at == '\\') ++at;
    return at < end_ ? at + 1 : end_;
  }

  const JsonParseOptions& options_;
  std::size_t max_depth_;
  simdjson::padded_string padded_;
  const char* begin_ = nullptr; ///< the text without our brackets
  const char* end_ = nullptr;
  ondemand::document document_;
};

} // namespace

Json parse_json(std::string_view text) {
  return parse_json(text, JsonParseOptions{});
}

Json parse_json(std::string_view text, const JsonParseOptions& options) {
  return Reader(text, options).read_document();
}

} // namespace qemuctl
