// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "text.hpp"

#include "catch.hpp"

using qemuctl::detail::printable;

TEST_CASE("Printable text keeps visible characters and nothing that controls a terminal", "[text]") {
  CHECK(printable("") == "");
  CHECK(printable("plain ~") == "plain ~");
  CHECK(printable("tab\tnew\nline\r\x1b[2J\x7f") == "tab new?line??[2J?");
  CHECK(printable("caf\u00e9 \u20ac \U0001F600") == "caf\u00e9 \u20ac \U0001F600");
  CHECK(printable("\xc2\x80\xc2\x9b\xc2\x9f\xc2\xa0") == "???\u00a0");
  CHECK(printable("\u2027\u2028\u2029\u202a") == "\u2027??\u202a");
  CHECK(printable(std::string_view("a\0b", 3)) == "a?b");
}

TEST_CASE("Printable text is valid UTF-8 whatever it is made from", "[text]") {
  CHECK(printable("\xff") == "\uFFFD");
  CHECK(printable("\xe2\x82") == "\uFFFD\uFFFD");           // cut
  CHECK(printable("\xc0\xaf") == "\uFFFD\uFFFD");           // overlong
  CHECK(printable("\xed\xa0\x80") == "\uFFFD\uFFFD\uFFFD"); // surrogate
  CHECK(printable("\xc3(\xc3\xa4") == "\uFFFD(\u00e4");
}
