// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "json_samples.hpp"

#include <qemuctl/error.hpp>
#include <qemuctl/json.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

using namespace qemuctl;
using namespace std::string_literals;
using Catch::Matchers::Equals;

namespace {

/// What is wrong with `text`, as "line:column: words"; empty when it is accepted.
std::string complaint(std::string_view text, JsonParseOptions options = {}) {
  options.source = "f";
  try {
    parse_json(text, options);
    return {};
  } catch (const Error& error) {
    CHECK(error.code() == errc::invalid_argument);
    const std::string& detail = error.diagnostics().detail;
    REQUIRE(detail.substr(0, 2) == "f:");
    return detail.substr(2);
  }
}

template<class Call>
std::string refusal(Call call) {
  try {
    call();
    return {};
  } catch (const Error& error) {
    CHECK(error.code() == errc::invalid_argument);
    return error.diagnostics().detail;
  }
}

} // namespace

TEST_CASE("JSON values read from a text are written back unchanged") {
  const auto same = GENERATE(
      "null"s, "true"s, "false"s, "0"s, "-1"s, "9223372036854775807"s, "-9223372036854775808"s, "18446744073709551615"s,
      "1.5"s, "-0.0"s, "1e-07"s, "1e+300"s, "5e-324"s, "1.7976931348623157e+308"s, "0.1"s, R"("")"s,
      R"("a\"b\\c/d\b\f\n\r\t\u0000\u001f\u007f")"s, "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\""s, "[]"s, "{}"s,
      "[[],{},[[]]]"s, R"({"a":1,"b":{"c":[true,null,"x"]},"":0})"s, R"({"z":1,"a":2,"m":3})"s);
  CHECK_THAT(parse_json(same).dump(), Equals(same));
}

TEST_CASE("JSON texts have the meaning RFC 8259 gives them") {
  const auto [text, value] = GENERATE(table<std::string, Json>({
      {" \t\r\n1\n ", 1},
      {"-0", 0},
      {"1.0", 1.0},
      {"1E5", 1e5},
      {"1e-400", 0.0},
      {"18446744073709551616", 18446744073709551616.0},
      {"-9223372036854775809", -9223372036854775809.0},
      {R"("\u00e9\u20AC\ud83d\ude00\/")", "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80/"},
      {R"("\u0000")", "\0"s},
      {R"({"\u0061":1})", Json::object({{"a", 1}})},
      {"[ 1 , 2 ]", Json::array({1, 2})},
      {R"({"a":1,"a":2})", Json::object({{"a", 1}, {"a", 2}})},
  }));
  CAPTURE(text);
  CHECK(parse_json(text) == value);
}

TEST_CASE("A text that is not JSON is rejected, with the position and the reason") {
  const auto [text, expected] = GENERATE(table<std::string, std::string>({
      {"", "1:1: there is no value"},
      {" \n ", "2:2: there is no value"},
      {"[1,]", "1:4: a value is expected, not ']'"},
      {"[1,,2]", "1:4: a value is expected, not ','"},
      {"[,1]", "1:2: a value is expected, not ','"},
      {"[1 2]", "1:4: ',' or ']' is expected, not '2'"},
      {"[1:2]", "1:3: ',' or ']' is expected, not ':'"},
      {"[1}", "1:3: ',' or ']' is expected, not '}'"},
      {"[\"a\"1]", "1:5: ',' or ']' is expected, not '1'"},
      {"[", "1:2: the text ends inside an array or object"},
      {"[[", "1:3: ',' or ']' is expected, not the end"},
      {"[1", "1:3: ',' or ']' is expected, not the end"},
      {"[1,", "1:4: a value is expected, not the end"},
      {"]", "1:1: a value is expected, not ']'"},
      {"{", "1:2: a member's name in double quotes is expected, not the end"},
      {"{]", "1:2: a member's name in double quotes is expected, not ']'"},
      {"{,}", "1:2: a member's name in double quotes is expected, not ','"},
      {"{a:1}", "1:2: a member's name in double quotes is expected, not 'a'"},
      {"{'a':1}", "1:2: a member's name in double quotes is expected, not '''"},
      {"{\"a\":1,\n  }", "2:3: a member's name in double quotes is expected, not '}'"},
      {"{\"a\" 1}", "1:6: ':' is expected, not '1'"},
      {"{\"a\":1,\"b\\\"\" 1}", "1:14: ':' is expected, not '1'"},
      {"{\"a\"", "1:5: ':' is expected, not the end"},
      {"{\"a\":", "1:6: a value is expected, not the end"},
      {"{\"a\":}", "1:6: a value is expected, not '}'"},
      {"{\"a\":[", "1:7: ',' or '}' is expected, not the end"},
      {"{\"a\":1", "1:7: ',' or '}' is expected, not the end"},
      {"{\"a\":1]", "1:7: ',' or '}' is expected, not ']'"},
      {"{\"a\":1\n \"b\":2}", "2:2: ',' or '}' is expected, not '\"'"},
      {"1 2", "1:3: nothing may follow the value, but there is '2'"},
      {"1,2", "1:2: nothing may follow the value, but there is ','"},
      {"1] [2", "1:2: nothing may follow the value, but there is ']'"},
      {"{} {}", "1:4: nothing may follow the value, but there is '{'"},
      {"{\"a\":1}//", "1:8: nothing may follow the value, but there is '/'"},
      {"// x\n1", "1:1: a value is expected, not '/'"},
      {"nul", "1:1: 'nul' is no JSON value"},
      {"truex", "1:1: 'truex' is no JSON value"},
      {"[ false1 ]", "1:3: 'false1' is no JSON value"},
      {"[null\"a\"]", "1:2: 'null\"a\"' is no JSON value"},
      {"nooooooooooooooooooooooooooooooo", "1:1: 'nooooooooooooooooooo...' is no JSON value"},
      {"True", "1:1: a value is expected, not 'T'"},
      {"NaN", "1:1: a value is expected, not 'N'"},
      {"+1", "1:1: a value is expected, not '+'"},
      {".5", "1:1: a value is expected, not '.'"},
      {"01", "1:1: '01' is no JSON number, or too big for one"},
      {"-01", "1:1: '-01' is no JSON number, or too big for one"},
      {"1.", "1:1: '1.' is no JSON number, or too big for one"},
      {"1.e5", "1:1: '1.e5' is no JSON number, or too big for one"},
      {"1e", "1:1: '1e' is no JSON number, or too big for one"},
      {"-", "1:1: '-' is no JSON number, or too big for one"},
      {"--1", "1:1: '--1' is no JSON number, or too big for one"},
      {"0x10", "1:1: '0x10' is no JSON number, or too big for one"},
      {"1_000", "1:1: '1_000' is no JSON number, or too big for one"},
      {"1\x01", "1:1: '1?' is no JSON number, or too big for one"},
      {"1e400", "1:1: '1e400' is no JSON number, or too big for one"},
      {"\"abc", "1:1: the string does not end on its line"},
      {"[1,\"a\nb\"]", "1:4: the string does not end on its line"},
      {"[\"\\\"]", "1:2: the string does not end on its line"},
      {"\"a\tb\"", "1:3: a control character in a string must be escaped, like \\t"},
      {"[1, \"\\x\"]", "1:5: the string contains an invalid escape sequence"},
      {"\"\\u12\"", "1:1: the string contains an invalid escape sequence"},
      {"\"\\ud800\"", "1:1: the string contains an invalid escape sequence"},
      {"\"\\ud800\\u0041\"", "1:1: the string contains an invalid escape sequence"},
      {"{\"\\x\":1}", "1:2: the string contains an invalid escape sequence"},
      {"\"\xFF\"", "1:2: this is no valid UTF-8: byte 0xff"},
      {"\"\xC0\x80\"", "1:2: this is no valid UTF-8: byte 0xc0"},
      {"\"\xED\xA0\x80\"", "1:2: this is no valid UTF-8: byte 0xed"},
      {"[\n\xC3\xA9]", "2:1: a value is expected, not '\xC3\xA9'"},
      {"\xEF\xBB\xBF{}", "1:1: a value is expected, not a byte order mark"},
      {"1\0"s, "1:2: a NUL byte is not allowed"},
      {"[1\0]"s, "1:3: a NUL byte is not allowed"},
      {"\"\0\""s, "1:2: a NUL byte is not allowed"},
  }));
  CAPTURE(text);
  CHECK_THAT(complaint(text), Equals(expected));
}

TEST_CASE("The error of a JSON text names its source and is a sentence") {
  const auto parse = [] { parse_json("{\n  \"a\": tru\n}", {.source = "vm.json"}); };
  CHECK_THROWS_WITH(parse(), "cannot parse the document: vm.json:2:8: 'tru' is no JSON value");
}

TEST_CASE("Duplicate members are rejected on request, with the position of the second") {
  const JsonParseOptions strict{.refuse_duplicate_keys = true};
  CHECK(complaint(R"({"a":1,"a":2})").empty());
  CHECK(complaint(R"({"a":{"a":1},"b":{"a":1}})", strict).empty());
  CHECK_THAT(complaint(R"({"a":1,"a":2})", strict), Equals(R"(1:8: the member "a" is there twice)"));
  CHECK_THAT(complaint("[{\"b\":\n {\"x\":0,\"\\u0078\":1}}]", strict),
             Equals(R"(2:9: the member "x" is there twice)"));
}

TEST_CASE("A JSON text may be nested as deep as the limit allows, and never deeper than 1024 levels") {
  const auto nested = [](std::size_t levels) { return std::string(levels, '[') + std::string(levels, ']'); };
  CHECK(complaint("1", {.max_depth = 0}).empty());
  CHECK_THAT(complaint("[]", {.max_depth = 0}), Equals("1:1: arrays and objects are nested deeper than 0 levels"));
  CHECK(complaint(R"({"a":[1,2]})", {.max_depth = 2}).empty());
  CHECK_THAT(complaint(R"({"a":[1,{}]})", {.max_depth = 2}),
             Equals("1:9: arrays and objects are nested deeper than 2 levels"));
  CHECK(complaint(nested(1024)).empty());
  CHECK(parse_json(nested(1024)).dump() == nested(1024));
  CHECK_THAT(complaint(nested(1025)), Equals("1:1025: arrays and objects are nested deeper than 1024 levels"));
  CHECK_THAT(complaint(nested(1'000'000), {.max_depth = 2'000'000}),
             Equals("1:1025: arrays and objects are nested deeper than 1024 levels"));
  CHECK_THAT(complaint(std::string(1'000'000, '[')),
             Equals("1:1025: arrays and objects are nested deeper than 1024 levels"));
}

// Quadratic work on these would take minutes.
TEST_CASE("Reading and writing JSON takes time linear in its size") {
  const int count = 100'000;
  std::string members = "{";
  for (int i = 0; i < count; ++i) members += "\"member-" + std::to_string(i) + "\":" + std::to_string(i) + ",";
  members += "\"last\":0}";
  const Json object = parse_json(members, {.refuse_duplicate_keys = true});
  CHECK(object.size() == count + 1);
  CHECK(object.dump() == members);

  const std::string escapes = Json(std::string(1'000'000, '\n')).dump();
  CHECK(parse_json(escapes).as_string().size() == 1'000'000);
  std::string lines(1'000'000, '\n');
  CHECK_THAT(complaint(lines + "]"), Equals("1000001:1: a value is expected, not ']'"));
}

TEST_CASE("After changing any byte of a text, exactly valid JSON is accepted") {
  const std::string original =
      "{\"a\":[1,-2.5e+3,true,false,null,{}],\"\\u00e9\\n\":\"\xC3\xA9\\\"\" , \"b\" : [ [ ] , 0 ]}\n";
  const std::string replacements = "\"\\,:[]{} \n\t\r0123456789-+.eEtrufalsnx/bu\x01\x7F\x80\xC3\xFF"s + '\0';
  REQUIRE(test::is_json(original));
  REQUIRE(complaint(original).empty());

  std::vector<std::string> texts;
  for (std::size_t i = 0; i < original.size(); ++i) {
    texts.push_back(original.substr(0, i));
    texts.push_back(original.substr(i + 1));
    texts.push_back(original.substr(0, i) + original.substr(i + 1));
    for (const char c : replacements) {
      texts.push_back(original.substr(0, i) + c + original.substr(i + 1));
      texts.push_back(original.substr(0, i) + c + original.substr(i));
    }
  }
  std::size_t accepted = 0;
  for (const std::string& text : texts) {
    const bool expected = test::is_json(text);
    if (complaint(text).empty() != expected) FAIL("accepted: " << !expected << ", text: " << text);
    accepted += expected;
  }
  CHECK(accepted > 500); // the comparison was not vacuous
  CHECK(accepted < texts.size() - 500);
}

TEST_CASE("Of random texts exactly valid JSON is accepted") {
  test::Random random(GENERATE(range(1, 11)));
  static constexpr std::string_view words[] = {"{",   "}",  "[",    "]",    ",", ":",  "\"a\"", "\"b\":", "1", "0", "-",
                                               "1.5", "e3", "true", "null", " ", "\n", "[]",    "{}",     "x", "\""};
  std::size_t accepted = 0;
  for (int i = 0; i < 5'000; ++i) {
    std::string text;
    for (auto left = random.below(9); left > 0; --left) text += words[random.below(std::size(words))];
    const bool expected = test::is_json(text);
    if (complaint(text).empty() != expected) FAIL("accepted: " << !expected << ", text: " << text);
    accepted += expected;
  }
  CHECK(accepted > 0);
}

TEST_CASE("A random JSON value survives being written and read, on one line and on many") {
  test::Random random(GENERATE(range(1, 21)));
  for (int i = 0; i < 100; ++i) {
    const Json value = test::random_json(random, 5);
    const std::string text = value.dump();
    CAPTURE(text);
    REQUIRE(test::is_json(text));
    REQUIRE(text.find('\n') == std::string::npos);
    REQUIRE(parse_json(text) == value);
    REQUIRE(parse_json(value.pretty()) == value);
  }
}

TEST_CASE("Numbers keep their kind") {
  using Kind = Json::Kind;
  CHECK(parse_json("1").kind() == Kind::integer);
  CHECK(parse_json("9223372036854775808").kind() == Kind::unsigned_integer);
  CHECK(parse_json("1.0").kind() == Kind::real);
  CHECK(parse_json("18446744073709551616").kind() == Kind::real);
  CHECK(Json(1U).kind() == Kind::integer);
  CHECK(Json(std::uint64_t{1} << 63).kind() == Kind::unsigned_integer);
  CHECK(Json(1U) == Json(1));
  CHECK(Json(1.0) != Json(1));
  CHECK(Json(true) != Json(1));
  CHECK(Json(1.0).dump() == "1.0");
  CHECK(Json(1e22).dump() == "1e+22");
  CHECK(Json(std::numeric_limits<double>::infinity()).dump() == "null");
  CHECK(Json(std::nan("")).dump() == "null");
}

TEST_CASE("The output is valid JSON, whatever bytes a string holds") {
  CHECK(Json("a\x01\x1F\x7F").dump() == R"("a\u0001\u001f\u007f")");
  CHECK(Json("caf\xC3\xA9").dump() == "\"caf\xC3\xA9\"");
  CHECK(Json("\xFF|\xC3|\xED\xA0\x80|\xF4\x90\x80\x80|\xE2\x82").dump() ==
        R"("\ufffd|\ufffd|\ufffd\ufffd\ufffd|\ufffd\ufffd\ufffd\ufffd|\ufffd\ufffd")");
  for (int first = 0; first < 256; ++first) {
    for (int second = 0; second < 256; ++second) {
      const Json value(std::string{static_cast<char>(first), static_cast<char>(second)});
      if (!test::is_json(value.dump())) FAIL("bytes " << first << " " << second << " give " << value.dump());
    }
  }
}

TEST_CASE("Pretty JSON is indented by two spaces") {
  const Json value = Json::object({{"a", Json::array({1, Json::object({{"b", nullptr}})})},
                                   {"empty", Json::array({Json::array(), Json::object()})}});
  CHECK(value.pretty() == R"({
  "a": [
    1,
    {
      "b": null
    }
  ],
  "empty": [
    [],
    {}
  ]
})");
  CHECK(Json("x").pretty() == "\"x\"");
  CHECK(Json::object().pretty() == "{}");
}

TEST_CASE("A JSON value is read only as its own kind, and the error names both kinds") {
  const Json text = "x";
  CHECK(text.as_string() == "x");
  CHECK(refusal([&] { text.as_bool(); }) == "a boolean is expected, not a string");
  CHECK(refusal([&] { text.as_int(); }) == "an integer is expected, not a string");
  CHECK(refusal([&] { text.as_uint(); }) == "an integer is expected, not a string");
  CHECK(refusal([&] { text.as_double(); }) == "a number is expected, not a string");
  CHECK(refusal([&] { text.as_array(); }) == "an array is expected, not a string");
  CHECK(refusal([&] { text.as_object(); }) == "an object is expected, not a string");
  CHECK(refusal([] { Json().as_string(); }) == "a string is expected, not null");
  CHECK(refusal([] { Json(true).as_string(); }) == "a string is expected, not a boolean");
  CHECK(refusal([] { Json(1.5).as_int(); }) == "an integer is expected, not a real number");
  CHECK(refusal([] { Json::array().as_object(); }) == "an object is expected, not an array");
  CHECK(refusal([] { Json::object().as_array(); }) == "an array is expected, not an object");

  CHECK(Json(-1).as_int() == -1);
  CHECK(Json(UINT64_MAX).as_uint() == UINT64_MAX);
  CHECK(Json(1).as_uint() == 1);
  CHECK(Json(1).as_double() == 1.0);
  CHECK(Json(UINT64_MAX).as_double() == 18446744073709551616.0);
  CHECK(refusal([] { Json(-1).as_uint(); }) == "an integer from 0 is expected, not -1");
  CHECK(refusal([] { Json(UINT64_MAX).as_int(); }) == "the integer 18446744073709551615 is too big for 64 signed bits");
}

TEST_CASE("Members and items are looked up, and the error names what is missing") {
  const Json value = parse_json(R"({"a":1,"b":[2],"a":3})");
  CHECK(value.at("a") == Json(1));
  CHECK(value.at("b").at(0) == Json(2));
  CHECK(value.contains("b"));
  CHECK_FALSE(value.contains("c"));
  CHECK(value.find("c") == nullptr);
  CHECK(Json(1).find("c") == nullptr);
  CHECK(value.size() == 3);
  CHECK(value.at("b").size() == 1);
  CHECK(Json("abc").size() == 0);
  CHECK(refusal([&] { value.at("c"); }) == R"(the member "c" is missing)");
  CHECK(refusal([&] { value.at("b").at(1); }) == "the array has 1 items, none with index 1");
  CHECK(refusal([&] { value.at("b").at("c"); }) == "an object is expected, not an array");
  CHECK(refusal([&] { value.at(0); }) == "an array is expected, not an object");
}

TEST_CASE("Objects and arrays are built step by step") {
  Json object;
  object.set("a", 1).set("b", Json().push_back("x").push_back(nullptr)).set("a", 2);
  CHECK(object.dump() == R"({"a":2,"b":["x",null]})");
  CHECK(refusal([] { Json(1).set("a", 1); }) == "an object is expected, not an integer");
  CHECK(refusal([] { Json::object().push_back(1); }) == "an array is expected, not an object");
}
