// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "bounded_queue.hpp"

#include "catch.hpp"
#include "run.hpp"

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>

using namespace qemuctl;
using namespace std::chrono_literals;

namespace {

struct Item {
  int value = 0;
  std::uint64_t lost = 0;
};

using Queue = detail::BoundedQueue<Item>;

} // namespace

TEST_CASE("A bounded queue delivers in order and reports how many items were dropped before the next one") {
  asio::io_context context;
  const auto queue = std::make_shared<Queue>(context.get_executor(), 3, "a sign of life", "the VM");
  for (int i = 0; i < 10; ++i) queue->push(Item{i});

  const auto first = queue->try_next();
  REQUIRE(first);
  CHECK(first->value == 7);
  CHECK(first->lost == 7);
  const auto second = queue->try_next();
  REQUIRE(second);
  CHECK(second->value == 8);
  CHECK(second->lost == 0);
  queue->push(Item{10});
  CHECK(queue->try_next()->value == 9);
  CHECK(queue->try_next()->value == 10);
  CHECK_FALSE(queue->try_next());
}

TEST_CASE("A bounded queue wakes its reader") {
  asio::io_context context;
  const auto queue = std::make_shared<Queue>(context.get_executor(), 3, "a sign of life", "the VM");
  asio::co_spawn(
      context,
      [&]() -> asio::awaitable<void> {
        queue->push(Item{1});
        co_return;
      },
      asio::detached);
  const auto item = test::run(context, [&] { return detail::next_item(queue, std::nullopt); });
  REQUIRE(item);
  CHECK(item->value == 1);
}

TEST_CASE("A closed bounded queue delivers what it holds and then ends") {
  asio::io_context context;
  const auto queue = std::make_shared<Queue>(context.get_executor(), 3, "a sign of life", "the VM");
  queue->push(Item{1});
  queue->close();
  CHECK(test::run(context, [&] { return detail::next_item(queue, std::nullopt); }));
  CHECK_FALSE(test::run(context, [&] { return detail::next_item(queue, std::nullopt); }));
}

TEST_CASE("Waiting for an item of a bounded queue ends at its deadline and says what was waited for") {
  asio::io_context context;
  const auto queue = std::make_shared<Queue>(context.get_executor(), 3, "a sign of life", "the VM");
  try {
    test::run(context, [&] { return detail::next_item(queue, 10ms); });
    FAIL("nothing was thrown");
  } catch (const Error& error) {
    CHECK(error.code() == errc::timed_out);
    CHECK_THAT(error.what(), Catch::Matchers::ContainsSubstring("a sign of life"));
  }
}
