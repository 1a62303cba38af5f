// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// The one way the tests include Catch2, 2.13 or 3.x, with the names of 3.x.
#pragma once

#if __has_include(<catch2/catch_test_macros.hpp>)
  #include <catch2/catch_approx.hpp>
  #include <catch2/catch_template_test_macros.hpp>
  #include <catch2/catch_test_macros.hpp>
  #include <catch2/generators/catch_generators_all.hpp>
  #include <catch2/matchers/catch_matchers_all.hpp>
#else
  #include <catch2/catch.hpp>
namespace Catch::Matchers {
/// In 2.x this is one of the overloads of Contains().
inline auto ContainsSubstring(const std::string& part) {
  return Contains(part);
}
} // namespace Catch::Matchers
#endif
