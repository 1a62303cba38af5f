// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "discovery.hpp"
#include "instance_impl.hpp"

#include <asio/this_coro.hpp>
#include <fmt/format.h>

#include <cerrno>
#include <exception>
#include <system_error>

namespace qemuctl {
namespace {

/// How long a process may outlive its monitors before it counts as one whose monitors cannot be reached.
constexpr std::chrono::milliseconds end_of_process_timeout{300};

/// What is known of the VM before its monitor is asked.
struct Found {
  std::optional<detail::Process> process;
  std::string name;
  std::vector<std::string> argv;
};

[[noreturn]] void fail(std::error_code code, int pid, std::string detail, std::string advice) {
  Diagnostics diagnostics;
  diagnostics.operation = "attach";
  diagnostics.subject = fmt::format("process {}", pid);
  diagnostics.detail = std::move(detail);
  diagnostics.advice = std::move(advice);
  throw Error(code, std::move(diagnostics));
}

/// Connects, then finds out the rest. `found` by PID is complete, and unchanged unless this succeeds; otherwise the
/// monitor's peer identifies the process.
asio::awaitable<std::shared_ptr<Instance::Impl>> attach_to(MonitorAddress address, AttachOptions options,
                                                           Found& found) {
  const auto executor = co_await asio::this_coro::executor;
  QmpClientOptions qmp_options = options.qmp;
  if (qmp_options.subject.empty()) qmp_options.subject = to_string(address);
  QmpClient qmp(executor, std::move(qmp_options));
  EventSubscription state_events = qmp.subscribe(changes_run_state);
  co_await qmp.connect(address);

  // QEMU silently takes over the socket path of another QEMU, so a path on the command line of one can be served by
  // the other. Over TCP the kernel does not reveal it.
  if (const std::optional<int> peer = qmp.peer_pid(); peer && found.process && *peer != found.process->pid())
    fail(errc::connect_failed, found.process->pid(),
         fmt::format("{} is served by process {} now", to_string(address), *peer),
         "Attach to that process, or to another monitor of this one.");
  if (const std::optional<int> peer = qmp.peer_pid(); peer && !found.process) {
    try {
      // First the pidfd, then the look at the process: so it is the same one.
      detail::Process process = detail::Process::watch(executor, *peer);
      detail::QemuProcess qemu = detail::inspect_qemu_process(*peer);
      found.process = std::move(process);
      found.name = std::move(qemu.name);
      found.argv = std::move(qemu.argv);
    } catch (const std::system_error& error) {
      // A proxy before the monitor, or a process we may not look at: it must never be killed in QEMU's place.
      if (options.on_warning)
        options.on_warning(fmt::format("the process behind {} is not known to be QEMU, so the VM is followed by "
                                       "its monitor alone ({})",
                                       to_string(address), error.what()));
    }
  }
  std::string name = found.name;
  if (name.empty()) {
    const Json reply = co_await qmp.execute("query-name");
    if (const Json* told = reply.find("name"); told && told->is_string()) name = told->as_string();
  }
  if (name.empty()) name = found.process ? fmt::format("pid {}", found.process->pid()) : to_string(address);

  auto impl = std::make_shared<Instance::Impl>(executor, std::move(qmp));
  impl->process = std::move(found.process);
  impl->name = std::move(name);
  impl->argv = std::move(found.argv);
  impl->monitor = std::move(address);
  co_await impl->start(std::move(state_events));
  co_return impl;
}

} // namespace

asio::awaitable<Instance> Instance::attach(MonitorAddress address, AttachOptions options) {
  Found nothing;
  std::shared_ptr<Impl> impl = co_await attach_to(std::move(address), std::move(options), nothing);
  co_return Instance(std::move(impl));
}

asio::awaitable<Instance> Instance::attach_by_pid(int pid, AttachOptions options) {
  const auto executor = co_await asio::this_coro::executor;
  // First the pidfd, then the look at the process, and one pidfd to the end: so it is the same process all the time.
  Found found;
  std::error_code no_pidfd;
  try {
    found.process = detail::Process::watch(executor, pid);
  } catch (const std::system_error& error) {
    no_pidfd = error.code();
  }
  detail::QemuProcess qemu = detail::inspect_qemu_process(pid); // says best what is wrong with that number
  if (no_pidfd) fail(no_pidfd, pid, fmt::format("it cannot be watched: {}", no_pidfd.message()), "");
  found.name = std::move(qemu.name);
  found.argv = std::move(qemu.argv);

  std::string obstacles; // one line for each monitor that did not work out
  bool any_in_use = false;
  for (const detail::QemuProcess::Monitor& monitor : qemu.monitors) {
    std::string obstacle;
    if (!monitor.address) {
      obstacle = monitor.description;
    } else if (const auto holder = detail::find_monitor_holder(*monitor.address, -1)) {
      // Asking the kernel first spares the wait for a greeting that will not come.
      any_in_use = true;
      obstacle =
          fmt::format("{}: in use by {} (process {})", to_string(*monitor.address), holder->command, holder->pid);
    } else {
      try {
        std::shared_ptr<Impl> impl = co_await attach_to(*monitor.address, options, found);
        co_return Instance(std::move(impl));
      } catch (const Error& error) {
        any_in_use = any_in_use || error.code() == errc::monitor_in_use;
        obstacle = error.what();
      }
    }
    obstacles += (obstacles.empty() ? "" : "; ") + obstacle;
  }
  if (qemu.monitors.empty())
    fail(errc::not_found, pid, "this QEMU was started without a QMP monitor",
         "Start it with, for example, -qmp unix:/run/qemu/NAME.sock,server=on,wait=off");
  // Its monitors go a moment before it does.
  if (!any_in_use && co_await found.process->wait_until(detail::deadline_in(end_of_process_timeout)))
    fail(errc::not_found, pid, "it ended while its monitors were being tried", "");
  fail(any_in_use ? errc::monitor_in_use : errc::connect_failed, pid,
       fmt::format("none of its {} QMP monitor(s) can be used: {}", qemu.monitors.size(), obstacles),
       any_in_use ? "End the other client, or start QEMU with one more -qmp option: a monitor serves one client." : "");
}

} // namespace qemuctl
