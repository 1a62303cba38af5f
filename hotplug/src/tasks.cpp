// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "tasks.hpp"

#include <asio/bind_cancellation_slot.hpp>
#include <asio/co_spawn.hpp>
#include <asio/error.hpp>

#include <exception>
#include <iterator>
#include <system_error>
#include <utility>

namespace hotplug::detail {

bool is_cancelled(const std::system_error& error) {
  return error.code() == asio::error::operation_aborted || error.code() == std::errc::operation_canceled;
}

bool is_cancelled(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::system_error& failure) {
    return is_cancelled(failure);
  } catch (...) {
    return false;
  }
}

std::string what_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& what) {
    return what.what();
  }
}

Tasks::Tasks(asio::any_io_executor executor, OnError on_error)
    : executor_(std::move(executor)), shared_(std::make_shared<Shared>(executor_)) {
  shared_->on_error = std::move(on_error);
}

void Tasks::start(asio::awaitable<void> task) {
  const auto signal = shared_->running.emplace(shared_->running.end());
  asio::co_spawn(executor_, std::move(task),
                 asio::bind_cancellation_slot(signal->slot(), [shared = shared_, signal](std::exception_ptr error) {
                   shared->running.erase(signal);
                   shared->ended.notify();
                   if (error && shared->on_error && !is_cancelled(error)) shared->on_error(error);
                 }));
}

void Tasks::cancel() {
  // A task may end, and leave the list, while it is told.
  for (auto signal = shared_->running.begin(); signal != shared_->running.end();) {
    const auto next = std::next(signal);
    signal->emit(asio::cancellation_type::all);
    signal = next;
  }
}

asio::awaitable<void> Tasks::wait_until_empty() {
  while (!shared_->running.empty()) co_await shared_->ended.wait_until();
}

} // namespace hotplug::detail
