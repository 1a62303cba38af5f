// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "text.hpp"
#include "utf8.hpp"

#include <qemuctl/error.hpp>
#include <qemuctl/json.hpp>

#include <simdjson.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <new>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace qemuctl {

namespace {

namespace ondemand = simdjson::ondemand;

constexpr std::size_t deepest = 1'024; // QEMU's own limit; reading, writing and destroying a value recurse

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/// The start of `text` for an error message, in single quotes.
std::string quoted(std::string_view text) {
  constexpr std::size_t enough = 20;
  std::size_t length = 0;
  while (length < text.size() && length < enough)
    length += std::max<std::size_t>(detail::utf8_length(text.substr(length)), 1);
  return "'" + detail::printable(text.substr(0, length)) + (length < text.size() ? "...'" : "'");
}

/// A token of simdjson's reaches up to the next one.
std::string_view word(std::string_view token) {
  return token.substr(0, token.find_first_of(" \t\r\n"));
}

/// Reads one document with simdjson's On-Demand API. That validates only what is requested, so every value is requested
/// and every separator checked.
///
/// The text is wrapped in brackets first. simdjson treats a scalar at the root specially and ignores what follows a
/// container at the root; as the only item of an array the root is a value like any other, and the closing bracket
/// marks the end of the text.
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
    std::string message = close == ']' ? "',' or ']'" : "',' or '}'";
    message.append(" is expected, not ").append(found_at(next));
    refuse(next, message);
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
