// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/error.hpp>

#include <asio/awaitable.hpp>

#include <optional>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace test {

/// Awaits `work` and returns the `Error` it throws; throws if it ends in any other way.
template<typename T>
asio::awaitable<qemuctl::Error> error_of(asio::awaitable<T> work) {
  std::optional<qemuctl::Error> error;
  try {
    static_cast<void>(co_await std::move(work));
  } catch (const qemuctl::Error& thrown) {
    error = thrown;
  }
  if (!error) throw std::runtime_error("an Error was expected, but the operation succeeded");
  co_return *std::move(error);
}

/// Awaits `work` and returns whether it was cancelled; other exceptions are passed on.
template<typename T>
asio::awaitable<bool> is_cancelled(asio::awaitable<T> work) {
  bool cancelled = false;
  try {
    static_cast<void>(co_await std::move(work));
  } catch (const qemuctl::Error&) {
    throw;
  } catch (const std::system_error& thrown) {
    if (thrown.code() != std::errc::operation_canceled) throw;
    cancelled = true;
  }
  co_return cancelled;
}

} // namespace test
