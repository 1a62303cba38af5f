// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "vm_status.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace qemuctl {

std::string_view to_string(State state) noexcept {
  switch (state) {
  case State::unknown:
    return "unknown";
  case State::prelaunch:
    return "prelaunch";
  case State::running:
    return "running";
  case State::paused:
    return "paused";
  case State::suspended:
    return "suspended";
  case State::shutdown:
    return "shutdown";
  case State::crashed:
    return "crashed";
  }
  return "unknown";
}

std::string_view to_string(StopResult result) noexcept {
  switch (result) {
  case StopResult::already_stopped:
    return "already stopped";
  case StopResult::guest_shut_down:
    return "guest shut down";
  case StopResult::quit:
    return "quit";
  case StopResult::killed:
    return "killed";
  }
  return "unknown";
}

namespace detail {
namespace {

/// A guest that panicked did not shut down, even when QEMU was told to end in an orderly way because of it.
State state_after(const ShutdownNotice& notice) noexcept {
  return notice.reason == "guest-panic" ? State::crashed : State::shutdown;
}

} // namespace

bool ends_qemu(std::string_view shutdown_reason) noexcept {
  return shutdown_reason == "host-qmp-quit" || shutdown_reason == "host-signal";
}

bool guest_shut_down(const VmStatus& status) noexcept {
  // A VM that was attached to in this state has no reason: what keeps QEMU when its guest has ended is not kept by
  // anything else.
  return status.state == State::shutdown &&
         (status.reason.starts_with("guest-") || (status.process_alive && status.reason.empty()));
}

State state_from_run_state(std::string_view run_state) noexcept {
  static constexpr auto table = std::to_array<std::pair<std::string_view, State>>({
      {"running", State::running},
      {"finish-migrate", State::running},
      {"postmigrate", State::running},
      {"paused", State::paused},
      {"debug", State::paused},
      {"save-vm", State::paused},
      {"restore-vm", State::paused},
      {"colo", State::paused},
      {"watchdog", State::paused},
      {"io-error", State::paused},
      {"suspended", State::suspended},
      {"prelaunch", State::prelaunch},
      {"preconfig", State::prelaunch},
      {"inmigrate", State::prelaunch},
      {"shutdown", State::shutdown},
      {"guest-panicked", State::crashed},
      {"internal-error", State::crashed},
  });
  const auto* entry = std::ranges::find(table, run_state, &std::pair<std::string_view, State>::first);
  return entry == table.end() ? State::unknown : entry->second;
}

VmStatus running_status(const Json& query_status_reply) {
  VmStatus status;
  status.run_state = query_status_reply.at("status").as_string();
  status.state = state_from_run_state(status.run_state);
  // A migrated VM stays in `postmigrate` with its CPUs stopped until somebody resumes it.
  const Json* running = query_status_reply.find("running");
  if (status.run_state == "postmigrate" && running && running->is_bool() && !running->as_bool())
    status.state = State::paused;
  // The plain states explain themselves; the others say why.
  static constexpr auto plain =
      std::to_array<std::string_view>({"running", "paused", "suspended", "prelaunch", "shutdown"});
  if (std::ranges::find(plain, status.run_state) == plain.end()) status.reason = status.run_state;
  return status;
}

VmStatus shutdown_status(const ShutdownNotice& notice) {
  VmStatus status;
  status.state = state_after(notice);
  status.run_state = "shutdown";
  status.reason = notice.reason;
  return status;
}

VmStatus silent_status(std::string reason) {
  VmStatus status;
  status.reason = std::move(reason);
  return status;
}

VmStatus final_status(const ProcessExit& exit, const std::optional<ShutdownNotice>& notice, bool monitor_until_end) {
  VmStatus status;
  status.process_alive = false;
  status.exit_code = exit.exit_code;
  status.signal = exit.signal;
  if (notice) {
    status.state = state_after(*notice);
    status.reason = notice->reason;
  } else if (exit.exit_code == 0) {
    // QEMU ends with 0 only in an orderly way; the announcement was missed because the monitor was lost before.
    status.state = State::shutdown;
    status.reason = exit.describe();
  } else if (exit.exit_code || exit.signal) {
    status.state = State::crashed;
    status.reason = exit.describe();
  } else if (monitor_until_end) {
    status.state = State::crashed;
    status.reason = "ended without announcing it, as a killed process does";
  } else {
    status.reason = "ended after its monitor was lost, so how is not known";
  }
  return status;
}

VmStatus final_status(const ConnectionEnd& end, const std::optional<ShutdownNotice>& notice) {
  VmStatus status;
  if (notice && (ends_qemu(notice->reason) || !notice->outlived)) {
    status.state = state_after(*notice);
    status.reason = notice->reason;
    status.process_alive = false;
  } else {
    status.reason = "the monitor is gone (" + end.reason + ") and the process is not known";
  }
  return status;
}

} // namespace detail
} // namespace qemuctl
