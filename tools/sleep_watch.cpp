// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "sleep_watch.hpp"

#include "tasks.hpp"
#include "wakeup.hpp"

#include <qemuctl/file_descriptor.hpp>

#include <asio/experimental/awaitable_operators.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <systemd/sd-bus.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <system_error>
#include <utility>

namespace tool {

namespace {

constexpr const char* service = "org.freedesktop.login1";
constexpr const char* path = "/org/freedesktop/login1";
constexpr const char* interface = "org.freedesktop.login1.Manager";

struct BusCloser {
  void operator()(sd_bus* bus) const noexcept { sd_bus_close_unref(bus); }
};

std::string words(int error) {
  return std::generic_category().message(error < 0 ? -error : error);
}

} // namespace

struct SleepWatch::Impl : std::enable_shared_from_this<SleepWatch::Impl> {
  Impl(const asio::any_io_executor& io, Handlers chosen)
      : executor(io), handlers(std::move(chosen)), news(io), due(io), tasks(io, {}) {}

  asio::any_io_executor executor;
  Handlers handlers;
  std::unique_ptr<sd_bus, BusCloser> bus;
  qemuctl::FileDescriptor lock; ///< while it is open the host waits with its sleep
  std::deque<bool> told;        ///< by logind, in its order: true: before
  qemuctl::detail::Wakeup news;
  asio::steady_timer due; ///< when the bus is looked at again at the latest; cancelled when there is something to send
  bool warned = false;
  hotplug::detail::Tasks tasks;

  /// nullptr: it cannot be used.
  bool connect() {
    sd_bus* opened = nullptr;
    if (const int result = sd_bus_open_system(&opened); result < 0) {
      handlers.log(fmt::format("the host's sleep is not waited for: there is no system bus ({})", words(result)));
      return false;
    }
    bus.reset(opened);
    const int result = sd_bus_match_signal_async(opened, nullptr, service, path, interface, "PrepareForSleep", on_sleep,
                                                 nullptr, this);
    if (result < 0) {
      handlers.log(fmt::format("the host's sleep is not waited for: {}", words(result)));
      return false;
    }
    ask_for_lock();
    return true;
  }

  void ask_for_lock() {
    const int result =
        sd_bus_call_method_async(bus.get(), nullptr, service, path, interface, "Inhibit", on_lock, this, "ssss",
                                 "sleep", "qemuctl-hotplugd", "Devices are taken out of virtual machines", "delay");
    if (result < 0) warn(fmt::format("logind is not asked to wait with the host's sleep: {}", words(result)));
    due.cancel();
  }

  /// Devices are then in VMs while the host sleeps. It would be the same each time.
  void warn(const std::string& text) {
    if (!std::exchange(warned, true)) handlers.warn(text);
  }

  static int on_lock(sd_bus_message* message, void* self, sd_bus_error*) {
    Impl& watch = *static_cast<Impl*>(self);
    int fd = -1;
    if (const sd_bus_error* error = sd_bus_message_get_error(message))
      watch.warn(fmt::format("logind does not wait for VMs before the host sleeps: {}",
                             error->message ? error->message : error->name));
    else if (sd_bus_message_read(message, "h", &fd) >= 0) // the message's own
      watch.lock.reset(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
    return 0;
  }

  static int on_sleep(sd_bus_message* message, void* self, sd_bus_error*) {
    Impl& watch = *static_cast<Impl*>(self);
    int before = 0;
    if (sd_bus_message_read(message, "b", &before) < 0) return 0;
    watch.told.push_back(before != 0);
    watch.news.notify();
    return 0;
  }

  asio::awaitable<void> follow_bus() {
    using namespace asio::experimental::awaitable_operators;
    const auto self = shared_from_this();
    asio::posix::stream_descriptor socket(executor, ::fcntl(sd_bus_get_fd(bus.get()), F_DUPFD_CLOEXEC, 3));
    for (;;) {
      const int result = sd_bus_process(bus.get(), nullptr);
      if (result < 0) {
        handlers.log(fmt::format("the host's sleep is not waited for any more: {}", words(result)));
        co_return;
      }
      if (result > 0) continue;
      std::uint64_t deadline = 0; // of an answer, on the clock that `steady_clock` is
      sd_bus_get_timeout(bus.get(), &deadline);
      if (deadline < static_cast<std::uint64_t>(INT64_MAX))
        due.expires_at(asio::steady_timer::time_point(std::chrono::microseconds(deadline)));
      else
        due.expires_at(asio::steady_timer::time_point::max());
      // A bus that does not take what it is told keeps nobody waiting.
      const bool sends = (sd_bus_get_events(bus.get()) & POLLOUT) != 0;
      std::error_code ec;
      if (sends)
        co_await (socket.async_wait(asio::posix::stream_descriptor::wait_read, asio::use_awaitable) ||
                  socket.async_wait(asio::posix::stream_descriptor::wait_write, asio::use_awaitable) ||
                  due.async_wait(asio::redirect_error(asio::use_awaitable, ec)));
      else
        co_await (socket.async_wait(asio::posix::stream_descriptor::wait_read, asio::use_awaitable) ||
                  due.async_wait(asio::redirect_error(asio::use_awaitable, ec)));
    }
  }

  /// One after the other, also when logind did not wait for the first.
  asio::awaitable<void> follow_sleep() {
    const auto self = shared_from_this();
    for (;;) {
      while (told.empty()) co_await news.wait_until();
      const bool before = told.front();
      told.pop_front();
      if (before) {
        co_await handlers.before();
        lock.reset();
      } else {
        ask_for_lock(); // for the next time
        co_await handlers.after();
      }
    }
  }
};

SleepWatch::SleepWatch(asio::any_io_executor executor, Handlers handlers)
    : impl_(std::make_shared<Impl>(executor, std::move(handlers))) {}

SleepWatch::~SleepWatch() {
  impl_->tasks.cancel();
}

asio::awaitable<void> SleepWatch::run() {
  const std::shared_ptr<Impl> impl = impl_;
  if (!impl->connect()) co_return;
  impl->tasks.start(impl->follow_sleep());
  std::exception_ptr end;
  try {
    co_await impl->follow_bus();
  } catch (...) {
    end = std::current_exception();
  }
  impl->tasks.cancel();
  if (end) std::rethrow_exception(end);
}

} // namespace tool
