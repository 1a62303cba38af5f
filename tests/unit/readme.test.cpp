// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "golden.hpp"

#include <algorithm>

TEST_CASE("The README opens with the first example, verbatim and at most 20 lines long") {
  const std::string readme = test::read_file(test::source_dir() / "README.md");
  const std::string example = test::read_file(test::source_dir() / "examples" / "01_launch.cpp");
  CHECK(std::count(example.begin(), example.end(), '\n') <= 20);
  const std::string opening = "# qemuctl\n\n```cpp\n" + example + "```\n";
  CHECK(readme.substr(0, opening.size()) == opening);
}
