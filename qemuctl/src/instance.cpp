// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "instance_impl.hpp"

#include <asio/bind_cancellation_slot.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>

#include <algorithm>
#include <array>
#include <csignal>
#include <exception>
#include <utility>

namespace qemuctl {
namespace {

/// How long QEMU's monitor may stay open after its process is gone: a helper it started can have inherited the socket.
constexpr std::chrono::milliseconds monitor_drain_timeout{1'000};
/// How long QEMU's process may outlive its monitor before that is taken for a lost monitor.
constexpr std::chrono::milliseconds end_of_process_timeout{1'000};
/// `query-status` answers at once unless QEMU is stuck in another command.
constexpr std::chrono::milliseconds status_timeout{5'000};
/// For the questions to a QEMU that has not answered in that time.
constexpr std::chrono::milliseconds patient_status_timeout{60'000};

} // namespace

bool changes_run_state(const Event& event) {
  static constexpr auto names =
      std::to_array<std::string_view>({"BLOCK_IO_ERROR", "GUEST_CRASHLOADED", "GUEST_PANICKED", "MIGRATION", "RESET",
                                       "RESUME", "SHUTDOWN", "STOP", "SUSPEND", "SUSPEND_DISK", "WAKEUP", "WATCHDOG"});
  return std::ranges::find(names, event.name) != names.end();
}

asio::awaitable<void> Instance::Impl::start(EventSubscription state_events) {
  co_await refresh_status();
  auto self = shared_from_this();
  asio::co_spawn(
      executor,
      [self, events = std::move(state_events)]() mutable -> asio::awaitable<void> {
        // Both at once, so that the end of the process is known however silent the monitor is.
        asio::co_spawn(self->executor, self->follow_events(std::move(events)), asio::detached);
        co_await self->follow_end();
      },
      asio::bind_cancellation_slot(stop_following_.slot(), [](std::exception_ptr) {}));
}

void Instance::Impl::detach() noexcept {
  if (kill_on_destruction && process && !over_) {
    if (files && !process->poll()) files->remove(); // while QEMU lives the name is ours
    process->send_signal(SIGKILL);
  }
  detached_ = true;
  qmp.close(); // ends follow_events
  stop_following_.emit(asio::cancellation_type::all);
  for (const auto& subscriber : subscribers)
    if (auto queue = subscriber.lock()) queue->close();
  status_changed.notify();
}

std::string Instance::Impl::subject() const {
  return "VM " + name;
}

void Instance::Impl::set_status(VmStatus next) {
  if (next == status) return;
  status = next;
  std::erase_if(subscribers, [](const auto& subscriber) { return subscriber.expired(); });
  for (const auto& subscriber : subscribers)
    if (auto queue = subscriber.lock()) queue->push(status);
  status_changed.notify();
}

void Instance::Impl::finish(VmStatus final) {
  if (over_) return;
  over_ = true;
  set_status(std::move(final));
  for (const auto& subscriber : subscribers)
    if (auto queue = subscriber.lock()) queue->close();
  subscribers.clear();
  if (files) files->remove_if_free();
  status_changed.notify();
}

asio::awaitable<void> Instance::Impl::refresh_status() {
  auto self = shared_from_this();
  std::string failure;
  try {
    co_await ask_status(std::min(status_timeout, qmp.options().command_timeout));
    co_return;
  } catch (const Error& error) {
    failure = error.what();
  }
  // A VM that has announced its end does not have to answer any more.
  if (notice_ || over_) co_return;
  set_status(detail::silent_status(std::move(failure)));
  if (asking_ || detached_ || !qmp.is_open()) co_return;
  asking_ = true;
  asio::co_spawn(
      executor, [self] { return self->ask_until_answered(); }, [self](std::exception_ptr) { self->asking_ = false; });
}

/// One question; what it says becomes the status. Throws `Error` when there is no answer.
asio::awaitable<void> Instance::Impl::ask_status(std::chrono::milliseconds timeout) {
  auto self = shared_from_this();
  const bool after_notice = notice_.has_value();
  ExecuteOptions options;
  options.timeout = timeout;
  const Json reply = co_await qmp.execute("query-status", Json(), std::move(options));
  VmStatus next = detail::running_status(reply);
  if (over_) co_return;
  if (notice_ && after_notice) notice_->outlived = true;
  if (notice_ && next.state == State::shutdown) next = detail::shutdown_status(*notice_);
  set_status(std::move(next));
}

asio::awaitable<void> Instance::Impl::ask_until_answered() {
  auto self = shared_from_this();
  while (status.state == State::unknown && !over_ && !detached_ && qmp.is_open()) {
    const auto next_time = detail::deadline_in(patient_status_timeout);
    try {
      co_await ask_status(patient_status_timeout);
      co_return;
    } catch (const Error&) { // still silent, or so busy that not even this could be sent
    }
    while (status.state == State::unknown && qmp.is_open() && std::chrono::steady_clock::now() < next_time)
      co_await status_changed.wait_until(next_time);
  }
}

asio::awaitable<bool> Instance::Impl::answers() {
  auto self = shared_from_this();
  try {
    co_await ask_status(monitor_drain_timeout);
    co_return true;
  } catch (const Error&) {
    co_return false;
  }
}

asio::awaitable<void> Instance::Impl::follow_events(EventSubscription events) {
  auto self = shared_from_this();
  for (;;) {
    std::optional<Event> event = co_await events.next();
    if (!event) break;
    // The state is asked, not deduced, so one question serves for all events that are here already.
    for (; event; event = events.try_next()) {
      if (event->name == "SHUTDOWN") {
        const Json* reason = event->data.find("reason");
        notice_ = detail::ShutdownNotice{reason && reason->is_string() ? reason->as_string() : ""};
        set_status(detail::shutdown_status(*notice_));
      } else if (event->name == "RESET" || event->name == "RESUME") {
        notice_.reset(); // with -no-shutdown the end of the guest is not the end of the VM
      }
    }
    co_await refresh_status();
  }
  if (detached_) co_return;
  monitor_lost_ = true;
  status_changed.notify();
  // A process that dies closes its sockets just before its pidfd tells, so "no monitor" is news only when it lives on.
  if (!process) co_return;
  const auto deadline = detail::deadline_in(end_of_process_timeout);
  while (!over_ && !detached_ && std::chrono::steady_clock::now() < deadline)
    co_await status_changed.wait_until(deadline);
  if (over_ || detached_) co_return;
  const ConnectionEnd end = co_await qmp.wait_closed();
  lost_while_alive_ = true;
  set_status(detail::silent_status("the monitor connection is over: " + end.reason));
}

asio::awaitable<void> Instance::Impl::follow_end() {
  auto self = shared_from_this();
  if (process) {
    const detail::ProcessExit exit = co_await process->wait();
    // What QEMU said last is still in the socket: read it before judging.
    const auto deadline = detail::deadline_in(monitor_drain_timeout);
    while (!monitor_lost_ && std::chrono::steady_clock::now() < deadline) co_await status_changed.wait_until(deadline);
    bool lives = false;
    if (!monitor_lost_) lives = co_await answers();
    if (!lives) {
      finish(detail::final_status(exit, notice_, !lost_while_alive_));
      co_return;
    }
    // It was a wrapper, which started QEMU as a child of its own instead of becoming it.
    process.reset();
    status_changed.notify();
  }
  const ConnectionEnd end = co_await qmp.wait_closed();
  while (!monitor_lost_) co_await status_changed.wait_until();
  finish(detail::final_status(end, notice_));
}

asio::awaitable<Json> Instance::Impl::execute(std::string command, Json arguments, ExecuteOptions options) {
  auto self = shared_from_this();
  std::exception_ptr failure;
  try {
    co_return co_await qmp.execute(command, std::move(arguments), std::move(options));
  } catch (const Error& error) {
    if (!over_ || error.code() == errc::command_failed) throw;
    Diagnostics diagnostics = error.diagnostics();
    diagnostics.subject = subject();
    diagnostics.detail = "the VM has ended (" + std::string(to_string(status.state)) +
                         (status.reason.empty() ? "" : ": " + status.reason) + ")";
    diagnostics.advice.clear();
    throw Error(error.code(), std::move(diagnostics));
  }
}

asio::awaitable<void> Instance::Impl::wait_change(detail::Wakeup::time_point deadline) {
  auto self = shared_from_this();
  co_await status_changed.wait_until(deadline);
  if (detached_ && !over_)
    fail(errc::disconnected, "wait for a change of state", "its Instance was destroyed meanwhile", "");
}

asio::awaitable<bool> Instance::Impl::wait_over(detail::Wakeup::time_point deadline) {
  auto self = shared_from_this();
  while (!over_ && std::chrono::steady_clock::now() < deadline) co_await wait_change(deadline);
  co_return over_;
}

void Instance::Impl::fail(std::error_code code, std::string operation, std::string detail, std::string advice) const {
  Diagnostics diagnostics;
  diagnostics.operation = std::move(operation);
  diagnostics.subject = subject();
  diagnostics.detail = std::move(detail);
  diagnostics.advice = std::move(advice);
  throw Error(code, std::move(diagnostics));
}

StatusSubscription::StatusSubscription() noexcept = default;
StatusSubscription::StatusSubscription(std::shared_ptr<Queue> queue) noexcept : queue_(std::move(queue)) {}
StatusSubscription::StatusSubscription(StatusSubscription&&) noexcept = default;

StatusSubscription& StatusSubscription::operator=(StatusSubscription&& other) noexcept {
  if (this != &other) {
    if (queue_) queue_->close();
    queue_ = std::move(other.queue_);
  }
  return *this;
}

StatusSubscription::~StatusSubscription() {
  if (queue_) queue_->close();
}

asio::awaitable<std::optional<VmStatus>> StatusSubscription::next(std::optional<std::chrono::milliseconds> timeout) {
  return detail::next_item(queue_, timeout);
}

Instance::Instance(std::shared_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Instance::Instance(Instance&&) noexcept = default;

Instance& Instance::operator=(Instance&& other) noexcept {
  if (this != &other) {
    if (impl_) impl_->detach();
    impl_ = std::move(other.impl_);
  }
  return *this;
}

Instance::~Instance() {
  if (impl_) impl_->detach();
}

const std::string& Instance::name() const noexcept {
  return impl_->name;
}
std::optional<int> Instance::pid() const noexcept {
  return impl_->process ? std::optional(impl_->process->pid()) : std::nullopt;
}
const MonitorAddress& Instance::monitor() const noexcept {
  return impl_->monitor;
}
const std::filesystem::path& Instance::log_file() const noexcept {
  return impl_->log_file;
}
const std::string& Instance::accelerator() const noexcept {
  return impl_->accelerator;
}
const std::vector<std::string>& Instance::command_line() const noexcept {
  return impl_->argv;
}
const QmpGreeting& Instance::qemu() const noexcept {
  return impl_->qmp.greeting();
}
VmStatus Instance::status() const {
  return impl_->status;
}

asio::awaitable<VmStatus> Instance::query_status() {
  auto impl = impl_;
  if (!impl->over()) co_await impl->refresh_status();
  co_return impl->status;
}

StatusSubscription Instance::subscribe_status(std::size_t capacity) {
  auto queue =
      std::make_shared<StatusSubscription::Queue>(impl_->executor, capacity, "a status change", impl_->subject());
  queue->push(impl_->status);
  if (impl_->over())
    queue->close();
  else
    impl_->subscribers.push_back(queue);
  return StatusSubscription(std::move(queue));
}

EventSubscription Instance::subscribe_events(EventFilter filter, std::size_t capacity) {
  return impl_->qmp.subscribe(std::move(filter), capacity);
}

asio::awaitable<VmStatus> Instance::wait() {
  auto impl = impl_;
  co_await impl->wait_over(detail::Wakeup::time_point::max());
  co_return impl->status;
}

asio::awaitable<std::optional<VmStatus>> Instance::wait_for(std::chrono::milliseconds timeout) {
  auto impl = impl_;
  const bool over = co_await impl->wait_over(detail::deadline_in(timeout));
  co_return over ? std::optional(impl->status) : std::nullopt;
}

asio::awaitable<Json> Instance::execute(std::string command, Json arguments, ExecuteOptions options) {
  return impl_->execute(std::move(command), std::move(arguments), std::move(options));
}

FileDescriptor Instance::take_serial(std::size_t index) {
  if (index >= impl_->serials.size() || !impl_->serials[index])
    impl_->fail(
        errc::not_found, "take serial port " + std::to_string(index),
        "there is no connected serial port of that number",
        "Give the VM a serial port of type \"socket\", launch it with connect_serials, and take each one once.");
  return std::move(impl_->serials[index]);
}

} // namespace qemuctl
