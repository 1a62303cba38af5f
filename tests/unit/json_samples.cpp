// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "json_samples.hpp"

#include "utf8.hpp"

#include <bit>
#include <cmath>
#include <cstdlib>
#include <string>

namespace test {

using qemuctl::Json;

namespace {

class Grammar {
 public:
  explicit Grammar(std::string_view text) : rest_(text) {}

  bool document() {
    space();
    if (!value()) return false;
    space();
    return rest_.empty();
  }

 private:
  static bool is_digit(char c) { return c >= '0' && c <= '9'; }
  char peek() const { return rest_.empty() ? '\0' : rest_.front(); }
  bool take(std::string_view word) {
    if (!rest_.starts_with(word)) return false;
    rest_.remove_prefix(word.size());
    return true;
  }
  void space() {
    while (take(" ") || take("\t") || take("\n") || take("\r")) {
    }
  }
  bool digits() {
    bool any = false;
    while (is_digit(peek())) any = take(rest_.substr(0, 1));
    return any;
  }

  bool value() {
    if (peek() == '"') return string();
    if (peek() == '[') return sequence("[", "]", [this] { return value(); });
    if (peek() == '{') return sequence("{", "}", [this] { return member(); });
    return take("true") || take("false") || take("null") || number();
  }

  template<class Item>
  bool sequence(std::string_view open, std::string_view close, Item item) {
    take(open);
    space();
    if (take(close)) return true;
    do {
      space();
      if (!item()) return false;
      space();
    } while (take(","));
    return take(close);
  }

  bool member() {
    if (!string()) return false;
    space();
    if (!take(":")) return false;
    space();
    return value();
  }

  bool number() {
    const std::string start(rest_);
    take("-");
    if (!take("0") && !digits()) return false;
    if (take(".") && !digits()) return false;
    if (take("e") || take("E")) {
      if (!take("+")) take("-");
      const std::size_t before = rest_.size();
      if (!digits() || before - rest_.size() > 19) return false;
    }
    return std::isfinite(std::strtod(start.substr(0, start.size() - rest_.size()).c_str(), nullptr));
  }

  bool hex(unsigned& out) {
    out = 0;
    for (int i = 0; i < 4; ++i) {
      const auto digit = std::string_view("0123456789abcdefABCDEF").find(peek());
      if (rest_.empty() || digit == std::string_view::npos) return false;
      out = out * 16 + static_cast<unsigned>(digit < 16 ? digit : digit - 6);
      rest_.remove_prefix(1);
    }
    return true;
  }

  bool string() {
    if (!take("\"")) return false;
    while (!take("\"")) {
      if (take("\\u")) {
        unsigned unit = 0;
        unsigned low = 0;
        if (!hex(unit)) return false;
        if (unit >= 0xDC00 && unit <= 0xDFFF) return false;
        if (unit >= 0xD800 && unit <= 0xDBFF && (!take("\\u") || !hex(low) || low < 0xDC00 || low > 0xDFFF))
          return false;
      } else if (take("\\")) {
        if (rest_.empty() || std::string_view("\"\\/bfnrt").find(peek()) == std::string_view::npos) return false;
        rest_.remove_prefix(1);
      } else {
        const std::size_t length = qemuctl::detail::utf8_length(rest_);
        if (length == 0 || static_cast<unsigned char>(peek()) < 0x20) return false;
        rest_.remove_prefix(length);
      }
    }
    return true;
  }

  std::string_view rest_;
};

std::string random_string(Random& random) {
  static constexpr std::string_view pieces[] = {"a",
                                                "Z",
                                                "0",
                                                " ",
                                                "\"",
                                                "\\",
                                                "/",
                                                "\n",
                                                "\r",
                                                "\t",
                                                "\b",
                                                "\f",
                                                "\x01",
                                                "\x7F",
                                                "\xC3\xA9",
                                                "\xE2\x82\xAC",
                                                "\xF0\x9F\x98\x80",
                                                "{",
                                                "}",
                                                "[",
                                                "]",
                                                ",",
                                                ":",
                                                "\\u0041",
                                                "\xEF\xBF\xBF",
                                                std::string_view("\0", 1)};
  std::string text;
  for (auto left = random.below(8); left > 0; --left) text += pieces[random.below(std::size(pieces))];
  return text;
}

} // namespace

bool is_json(std::string_view text) {
  return Grammar(text).document();
}

Json random_json(Random& random, std::size_t depth) {
  switch (random.below(depth == 0 ? 6 : 8)) {
  case 0:
    return nullptr;
  case 1:
    return random.below(2) == 1;
  case 2:
    return static_cast<std::int64_t>(random.bits() >> random.below(64));
  case 3:
    return random.bits();
  case 4: {
    const auto value = std::bit_cast<double>(random.bits());
    return std::isfinite(value) ? value : 0.5;
  }
  case 5:
    return random_string(random);
  case 6: {
    Json array = Json::array();
    for (auto left = random.below(5); left > 0; --left) array.push_back(random_json(random, depth - 1));
    return array;
  }
  default: {
    Json::Object members;
    for (auto left = random.below(5); left > 0; --left)
      members.emplace_back(random_string(random), random_json(random, depth - 1));
    return Json::object(std::move(members));
  }
  }
}

} // namespace test
