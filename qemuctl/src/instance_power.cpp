// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "instance_impl.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>

namespace qemuctl {
namespace {

using std::chrono::steady_clock;

/// How long QEMU may take to act on `quit`, and to vanish after that or after SIGKILL.
constexpr std::chrono::milliseconds quit_timeout{5'000};
constexpr std::chrono::milliseconds kill_timeout{5'000};
constexpr std::chrono::milliseconds exit_grace{500};
/// For `quit` and `force_stop` as calls of their own.
constexpr std::chrono::milliseconds end_timeout{10'000};

std::chrono::milliseconds left_until(detail::Wakeup::time_point deadline) {
  return std::max(std::chrono::duration_cast<std::chrono::milliseconds>(deadline - steady_clock::now()),
                  std::chrono::milliseconds(0));
}

/// Sends a command that ends or may end the VM. That no reply comes is no failure of its own: the caller looks at the
/// VM. True when QEMU took it.
asio::awaitable<bool> try_execute(std::shared_ptr<Instance::Impl> impl, std::string command,
                                  std::chrono::milliseconds timeout) {
  try {
    ExecuteOptions options;
    options.timeout = timeout;
    co_await impl->qmp.execute(std::move(command), Json(), std::move(options));
    co_return true;
  } catch (const Error&) {
    co_return false;
  }
}

/// Whether QEMU is known to have ended. A monitor that is gone is no proof when the process is not known.
bool ended(const Instance::Impl& impl) {
  return impl.over() && !impl.status.process_alive;
}

[[noreturn]] void fail_alive(const Instance::Impl& impl, std::string operation) {
  if (impl.process)
    impl.fail(errc::timed_out, std::move(operation), fmt::format("process {} has not ended", impl.process->pid()),
              "Stop it by force.");
  impl.fail(errc::interrupted, std::move(operation),
            "its monitor does not answer and its process is not known from here, so whether it still runs is not known",
            "Look for it on the machine it runs on.");
}

asio::awaitable<void> kill_and_wait(std::shared_ptr<Instance::Impl> impl, std::chrono::milliseconds timeout) {
  impl->process->send_signal(SIGKILL);
  const bool over = co_await impl->wait_over(detail::deadline_in(timeout));
  if (!over)
    impl->fail(errc::timed_out, "kill",
               fmt::format("process {} is still there {} ms after SIGKILL", impl->process->pid(), timeout.count()),
               "It is stuck in the kernel (state D): look for a hanging disk or network file system.");
}

asio::awaitable<void> run_simple(std::shared_ptr<Instance::Impl> impl, std::string command) {
  co_await impl->execute(std::move(command));
}

} // namespace

asio::awaitable<void> Instance::pause() {
  return run_simple(impl_, "stop");
}
asio::awaitable<void> Instance::resume() {
  return run_simple(impl_, "cont");
}
asio::awaitable<void> Instance::wake_up() {
  return run_simple(impl_, "system_wakeup");
}
asio::awaitable<void> Instance::reset() {
  return run_simple(impl_, "system_reset");
}
asio::awaitable<void> Instance::shutdown() {
  return run_simple(impl_, "system_powerdown");
}

asio::awaitable<void> Instance::quit() {
  auto impl = impl_;
  if (ended(*impl)) co_return;
  const auto deadline = detail::deadline_in(end_timeout);
  co_await try_execute(impl, "quit", end_timeout);
  co_await impl->wait_over(deadline);
  if (!ended(*impl)) fail_alive(*impl, "quit");
}

asio::awaitable<void> Instance::force_stop() {
  auto impl = impl_;
  if (!impl->process) {
    co_await quit();
    co_return;
  }
  if (!impl->over()) co_await kill_and_wait(impl, end_timeout);
}

asio::awaitable<StopResult> Instance::stop(std::chrono::milliseconds timeout) {
  auto impl = impl_;
  if (ended(*impl)) co_return StopResult::already_stopped;

  const auto deadline = detail::deadline_in(timeout);
  if (impl->status.state != State::shutdown) co_await try_execute(impl, "system_powerdown", left_until(deadline));
  // With -no-shutdown QEMU stays when the guest has ended.
  while (!impl->over() && impl->status.state != State::shutdown && steady_clock::now() < deadline)
    co_await impl->wait_change(deadline);
  const bool guest_ended = impl->status.state == State::shutdown;
  // A guest that has ended leaves QEMU a moment to go by itself before it is told to.
  if (guest_ended) co_await impl->wait_over(detail::deadline_in(exit_grace));

  if (!impl->over()) {
    const auto quit_deadline = detail::deadline_in(quit_timeout);
    const bool told_to_quit = co_await try_execute(impl, "quit", quit_timeout);
    // Waiting makes sense only for a QEMU that took the command, or lost its monitor because it is ending.
    if (told_to_quit || !impl->qmp.is_open()) co_await impl->wait_over(quit_deadline);
  }
  bool killed = false;
  if (!impl->over() && impl->process) {
    co_await kill_and_wait(impl, kill_timeout);
    killed = true;
  }
  if (!ended(*impl)) fail_alive(*impl, "stop");
  if (guest_ended) co_return StopResult::guest_shut_down;
  co_return killed || impl->status.state == State::crashed ? StopResult::killed : StopResult::quit;
}

} // namespace qemuctl
