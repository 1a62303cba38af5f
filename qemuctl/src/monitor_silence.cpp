// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "monitor_silence.hpp"

#include "duration_text.hpp"
#include "monitor_holder.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <utility>

namespace qemuctl::detail {

namespace {

Error silence_error(errc code, const SilentMonitor& monitor, std::string detail, std::string advice) {
  Diagnostics diagnostics;
  diagnostics.operation = "connect to the monitor";
  diagnostics.subject = monitor.subject;
  diagnostics.detail = std::move(detail);
  diagnostics.advice = std::move(advice);
  return {code, std::move(diagnostics)};
}

Error in_use(const SilentMonitor& monitor, const std::string& client) {
  return silence_error(errc::monitor_in_use, monitor, client + " is connected to it",
                       "A monitor serves one client at a time: end that one, or give the VM a second monitor.");
}

std::string name_holder(const MonitorHolder& holder) {
  if (holder.pid == getpid()) return fmt::format("this process (PID {})", holder.pid);
  return fmt::format("another client, {} (PID {}),", holder.command.empty() ? "a process" : holder.command, holder.pid);
}

} // namespace

Error explain_silence(const SilentMonitor& monitor) {
  const auto waited = elapsed_text(monitor.since);
  MonitorUse use;
  if (!monitor.address)
    use.served = MonitorUse::Served::nobody;
  else if (!monitor.greeted) // who was greeted is the one client
    use = inspect_monitor_use(*monitor.address, monitor.own_socket);

  // First, because even a QEMU that runs again would not serve us then.
  if (use.holder) return in_use(monitor, name_holder(*use.holder));

  if (const auto pid = monitor.peer_pid ? monitor.peer_pid : use.server_pid) {
    switch (process_state(*pid)) {
    case 'T':
      return silence_error(
          errc::timed_out, monitor,
          fmt::format("no answer within {}, because the process {} is stopped (SIGSTOP)", waited, *pid),
          fmt::format("`kill -CONT {}` resumes it.", *pid));
    case 't':
      return silence_error(
          errc::timed_out, monitor,
          fmt::format("no answer within {}, because a debugger has stopped the process {}", waited, *pid),
          "Let the debugger continue it.");
    default:
      break;
    }
  }
  if (monitor.greeted)
    return silence_error(errc::timed_out, monitor, fmt::format("QEMU was still initialising after {}", waited),
                         "Try again, or allow it more time (QmpClientOptions::greeting_timeout).");

  const bool connected = monitor.own_socket >= 0;
  const bool may_be_held = connected && use.served == MonitorUse::Served::unknown && !use.accepted_us.value_or(false);
  if (monitor.queue_full || use.served == MonitorUse::Served::a_client || may_be_held)
    return in_use(monitor, "another client, which the kernel does not name,");
  if (!connected) return silence_error(errc::timed_out, monitor, fmt::format("no answer within {}", waited), {});

  if (use.accepted_us.value_or(true))
    return silence_error(errc::timed_out, monitor,
                         fmt::format("it accepted the connection but sent no greeting within {}", waited),
                         "Is it a QMP monitor (mode=control) and not a human one or another service?");
  return silence_error(
      errc::timed_out, monitor,
      fmt::format("QEMU did not accept the connection within {}, and no other client is the cause", waited),
      "It is still starting, or it is stuck.");
}

} // namespace qemuctl::detail
