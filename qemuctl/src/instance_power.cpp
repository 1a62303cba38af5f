// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "instance_impl.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <system_error>

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

enum class Delivery {
  none,    ///< nothing has reached QEMU, or it refused
  unknown, ///< it was sent, but no reply came: QEMU may be stuck, or may have ended because of it
  taken,
};

/// Sends a command that ends or may end the VM. That no reply comes is no failure of its own: the caller looks at the
/// VM.
asio::awaitable<Delivery> try_execute(std::shared_ptr<Instance::Impl> impl, std::string command,
                                      std::chrono::milliseconds timeout) {
  try {
    ExecuteOptions options;
    options.timeout = timeout;
    co_await impl->qmp.execute(std::move(command), Json(), std::move(options));
    co_return Delivery::taken;
  } catch (const Error& error) {
    co_return error.code() == errc::interrupted ? Delivery::unknown : Delivery::none;
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

/// False when the process belongs to somebody whose processes this program may not signal.
bool may_signal(Instance::Impl& impl, int signal) {
  return impl.process->send_signal(signal) || impl.process->poll();
}

[[noreturn]] void fail_permission(const Instance::Impl& impl, std::string operation) {
  impl.fail(
      std::make_error_code(std::errc::operation_not_permitted), std::move(operation),
      fmt::format("its monitor did not have it end, and this user may not signal process {}", impl.process->pid()),
      "Run this as root or as QEMU's user.");
}

/// Makes QEMU exit cleanly: by `quit` or, if its monitor does not accept that, by the equivalent SIGTERM. Returns when
/// it has ended or the time is up.
asio::awaitable<void> end_in_order(std::shared_ptr<Instance::Impl> impl, std::chrono::milliseconds timeout) {
  const auto deadline = detail::deadline_in(timeout);
  const Delivery quit = co_await try_execute(impl, "quit", timeout);
  if (quit == Delivery::none && !impl->over()) {
    // QEMU may be ending already, and then its monitor went first.
    co_await impl->wait_over(std::min(deadline, detail::deadline_in(exit_grace)));
    if (impl->over() || !impl->process) co_return;
    if (!may_signal(*impl, SIGTERM)) co_return;
  }
  co_await impl->wait_over(deadline);
}

/// Returns when QEMU has ended, or `impl->process` has turned out not to be QEMU.
asio::awaitable<void> kill_and_wait(std::shared_ptr<Instance::Impl> impl, std::chrono::milliseconds timeout) {
  const int pid = impl->process->pid();
  if (!may_signal(*impl, SIGKILL)) fail_permission(*impl, "kill");
  const auto deadline = detail::deadline_in(timeout);
  while (!impl->over() && impl->process && steady_clock::now() < deadline) co_await impl->wait_change(deadline);
  if (!impl->over() && impl->process)
    impl->fail(errc::timed_out, "kill",
               fmt::format("process {} is still there {} ms after SIGKILL", pid, timeout.count()),
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
  co_await end_in_order(impl, end_timeout);
  if (!ended(*impl)) fail_alive(*impl, "quit");
}

asio::awaitable<void> Instance::force_stop() {
  auto impl = impl_;
  if (ended(*impl)) co_return;
  if (impl->process && !may_signal(*impl, 0)) {
    co_await end_in_order(impl, end_timeout);
    if (!ended(*impl) && impl->process) fail_permission(*impl, "kill");
  }
  if (impl->process) co_await kill_and_wait(impl, end_timeout);
  if (!ended(*impl)) co_await quit();
}

asio::awaitable<StopResult> Instance::stop(std::chrono::milliseconds timeout) {
  auto impl = impl_;
  if (ended(*impl)) co_return StopResult::already_stopped;

  const auto deadline = detail::deadline_in(timeout);
  const auto guest_is_over = [&impl] {
    return impl->status.state == State::shutdown || impl->status.state == State::crashed;
  };
  Delivery pressed = Delivery::none;
  if (!guest_is_over()) pressed = co_await try_execute(impl, "system_powerdown", left_until(deadline));
  // A guest that has not been asked is not waited for. With -no-shutdown QEMU stays when the guest has ended.
  while (pressed != Delivery::none && !impl->over() && !guest_is_over() && steady_clock::now() < deadline)
    co_await impl->wait_change(deadline);
  // Taken down now: the `quit` below gives the end of QEMU another reason.
  const bool by_itself = detail::guest_shut_down(impl->status);
  // A guest that has ended leaves QEMU a moment to go by itself before it is told to.
  if (guest_is_over()) co_await impl->wait_over(detail::deadline_in(exit_grace));

  if (!impl->over()) co_await end_in_order(impl, quit_timeout);
  bool killed = false;
  if (!impl->over() && impl->process) {
    co_await kill_and_wait(impl, kill_timeout);
    killed = true;
  }
  if (!ended(*impl)) fail_alive(*impl, "stop");
  if (by_itself || detail::guest_shut_down(impl->status)) co_return StopResult::guest_shut_down;
  const bool by_others = impl->status.state == State::crashed && impl->status.reason != "guest-panic";
  co_return killed || by_others ? StopResult::killed : StopResult::quit;
}

} // namespace qemuctl
