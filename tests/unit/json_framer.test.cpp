// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "json_framer.hpp"

#include "catch.hpp"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

using namespace qemuctl::detail;
using Messages = std::vector<std::string>;

namespace {

Messages drain(JsonFramer& framer) {
  Messages messages;
  while (const auto message = framer.next()) messages.emplace_back(*message);
  return messages;
}

/// What comes out when `stream` arrives in pieces of `size` bytes, the first of `first` bytes.
Messages in_pieces(JsonFramer& framer, std::string_view stream, std::size_t first, std::size_t size) {
  Messages messages;
  while (!stream.empty()) {
    const std::string piece(stream.substr(0, first)); // a separate copy, so that ASan notices reads beyond it
    framer.append(piece);
    std::ranges::move(drain(framer), std::back_inserter(messages));
    stream.remove_prefix(piece.size());
    first = size;
  }
  return messages;
}

} // namespace

TEST_CASE("A stream is split into its objects, however it arrives") {
  const Messages expected = {R"({})", R"({"a":[{"b":"}"},"]"]})", "{\r\n    \"pretty\": {\r\n    }\r\n}",
                             R"({"quotes":"\"{\\","\\\\\"":"\\"})", "{\"utf-8\":\"\xC3\xA9\xFF\"}"};
  std::string stream = "\r\n \t";
  for (const std::string& message : expected) stream += message + (message.size() % 2 == 0 ? "\r\n" : "");

  for (std::size_t first = 1; first <= stream.size(); ++first) {
    JsonFramer framer(1'000, 10);
    CHECK(in_pieces(framer, stream, first, stream.size()) == expected);
    CHECK_FALSE(framer.inside());
  }
  for (std::size_t size = 1; size < 8; ++size) {
    JsonFramer framer(1'000, 10);
    CHECK(in_pieces(framer, stream, size, size) == expected);
    CHECK(framer.broken().empty());
  }
}

TEST_CASE("A stream that ends inside an object is distinguished from one that ends between two") {
  for (const std::string_view text : {"{", "{\"a", "{\"a\":1", "{} {", "{}\r\n{\"}"}) {
    JsonFramer framer(1'000, 10);
    framer.append(text);
    drain(framer);
    CHECK(framer.inside());
  }
  for (const std::string_view text : {"", " \r\n", "{}", "{} \r\n\t"}) {
    JsonFramer framer(1'000, 10);
    framer.append(text);
    drain(framer);
    CHECK_FALSE(framer.inside());
  }
}

TEST_CASE("A stream consists of objects only") {
  const auto [text, reason] = GENERATE(table<std::string, std::string>({
      {"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\nmore",
       "a message starts with 'SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3', which is no JSON object"},
      {"[1]", "a message starts with '[1]', which is no JSON object"},
      {"}", "a message starts with '}', which is no JSON object"},
      {"\x01\xFF x", "a message starts with '?\xEF\xBF\xBD x', which is no JSON object"},
      {std::string(100, 'x'), "a message starts with '" + std::string(40, 'x') + "', which is no JSON object"},
      {"{} {} null", "a message starts with 'null', which is no JSON object"},
  }));
  JsonFramer framer(1'000, 10);
  framer.append(text);
  drain(framer);
  CHECK(framer.broken() == reason);
  framer.append("{}");
  CHECK(drain(framer).empty());
}

TEST_CASE("An object may be as long as the limit, and the first byte beyond it is an error") {
  const std::string longest = R"({"a":")" + std::string(92, 'x') + "\"}";
  const std::string too_long = R"({"a":")" + std::string(93, 'x') + "\"}";
  REQUIRE(longest.size() == 100);

  JsonFramer framer(100, 10);
  framer.append("  " + longest + "\r\n" + longest);
  CHECK(drain(framer).size() == 2);

  framer.append(too_long.substr(0, 100));
  CHECK(drain(framer).empty());
  CHECK(framer.broken().empty());
  framer.append(too_long.substr(100));
  CHECK(drain(framer).empty());
  CHECK(framer.broken() == "a message is longer than 100 bytes");

  JsonFramer at_once(100, 10);
  at_once.append(longest + too_long + longest);
  CHECK(drain(at_once) == Messages{longest});
  CHECK(at_once.broken() == "a message is longer than 100 bytes");
}

TEST_CASE("An object may be nested as deep as the limit, and going deeper is an error at once") {
  JsonFramer framer(1'000, 3);
  framer.append(R"({"a":[{}],"b":[[]]})");
  CHECK(drain(framer).size() == 1);
  framer.append(R"({"a":"[[[[[[","b":[[[)");
  CHECK(drain(framer).empty());
  CHECK(framer.broken() == "a message is nested deeper than 3 levels");
}

// Quadratic work on these would take minutes.
TEST_CASE("Reading a stream takes time linear in its length, even byte by byte") {
  const std::string large = R"({"a":")" + std::string(1'000'000, 'x') + "\"}";
  JsonFramer framer(large.size(), 10);
  CHECK(in_pieces(framer, large, 1, 1) == Messages{large});

  // Many small messages after one that is still incomplete while they are read.
  std::string small;
  for (int i = 0; i < 500'000; ++i) small += "{}\r\n";
  framer.append(small);
  CHECK(drain(framer).size() == 500'000);
  std::size_t count = 0;
  for (int i = 0; i < 200'000; ++i) {
    framer.append("{}{");
    while (framer.next()) ++count;
    framer.append("}");
    while (framer.next()) ++count;
  }
  CHECK(count == 400'000);
}
