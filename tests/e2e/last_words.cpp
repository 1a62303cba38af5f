// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "last_words.hpp"

#include "listener.hpp"

#include <iostream>
#include <utility>

namespace {

std::string last_words;

class FailureListener : public test::Listener {
 public:
  using test::Listener::Listener;

  void testCaseStarting(const Catch::TestCaseInfo&) override { last_words.clear(); }
  void testCaseEnded(const Catch::TestCaseStats& stats) override {
    if (!stats.totals.assertions.allPassed()) std::cerr << last_words;
  }
};

CATCH_REGISTER_LISTENER(FailureListener)

} // namespace

void test::keep_for_failure(std::string text) {
  last_words += std::move(text);
}
