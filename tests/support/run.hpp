// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <asio/awaitable.hpp>
#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>

#include <chrono>
#include <concepts>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

namespace test {

namespace detail {

template<typename T>
asio::awaitable<void> keep_result(asio::awaitable<T> work, std::shared_ptr<std::optional<T>> result) {
  result->emplace(co_await std::move(work));
}

} // namespace detail

/// Runs `context` until `work` has ended and rethrows its exception. Other coroutines of `context` make progress
/// meanwhile and stay suspended afterwards.
///
/// At `deadline`, `work` is cancelled and the test fails, so no test hangs.
inline void run(asio::io_context& context, asio::awaitable<void> work,
                std::chrono::milliseconds deadline = std::chrono::seconds(20)) {
  struct Outcome {
    bool ended = false;
    std::exception_ptr failure;
  };
  const auto outcome = std::make_shared<Outcome>();
  asio::cancellation_signal cancel;
  // Not use_future: that completes on a thread of Asio's system executor.
  const auto on_end = [outcome](std::exception_ptr thrown) {
    outcome->failure = std::move(thrown);
    outcome->ended = true;
  };
  asio::co_spawn(context, std::move(work), asio::bind_cancellation_slot(cancel.slot(), on_end));
  const auto pump = [&](std::chrono::milliseconds time) {
    context.restart();
    const auto end = std::chrono::steady_clock::now() + time;
    while (!outcome->ended)
      if (context.run_one_until(end) == 0) return false;
    return true;
  };
  if (!pump(deadline)) {
    cancel.emit(asio::cancellation_type::terminal);
    pump(std::chrono::seconds(2));
    throw std::runtime_error("the test's deadline has passed");
  }
  if (outcome->failure) std::rethrow_exception(outcome->failure);
}

/// The same for a coroutine with a value.
template<typename T>
T run(asio::io_context& context, asio::awaitable<T> work,
      std::chrono::milliseconds deadline = std::chrono::seconds(20)) {
  const auto result = std::make_shared<std::optional<T>>();
  run(context, detail::keep_result(std::move(work), result), deadline);
  return std::move(*result).value();
}

/// The same for a function that returns the coroutine, usually a lambda. It lives until the coroutine has ended, so it
/// may capture.
template<std::invocable F>
auto run(asio::io_context& context, F make, std::chrono::milliseconds deadline = std::chrono::seconds(20)) {
  return run(context, make(), deadline);
}

/// The same with an `io_context` of its own, for coroutines that use `asio::this_coro::executor`.
template<std::invocable F>
auto run(F make, std::chrono::milliseconds deadline = std::chrono::seconds(20)) {
  asio::io_context context(1);
  return run(context, make(), deadline);
}

} // namespace test
