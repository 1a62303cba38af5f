// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "process.hpp"

#include <qemuctl/instance.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace qemuctl::detail {

/// QEMU's RunState (`qapi/run-state.json`) as one of the seven states; `unknown` for a word this library does not know.
State state_from_run_state(std::string_view run_state) noexcept;

/// What events revealed about the end of a VM, before its process is gone.
struct ShutdownNotice {
  std::string reason;    ///< `reason` of the SHUTDOWN event: "guest-shutdown", "host-qmp-quit", "guest-panic", ...
  bool outlived = false; ///< QEMU has replied since, as with `-no-shutdown`: it stays although the guest has ended
};

/// Whether QEMU itself ends with a SHUTDOWN of this reason, whatever `-no-shutdown` or `-action` says: `quit` and the
/// signals override them (`qmp_quit`, `qemu_system_killed`).
bool ends_qemu(std::string_view shutdown_reason) noexcept;

/// Whether the guest shut itself down normally.
bool guest_shut_down(const VmStatus& status) noexcept;

/// The status while QEMU runs, from the reply to `query-status`.
VmStatus running_status(const Json& query_status_reply);

/// The status from a SHUTDOWN event: the guest has ended, the process still exists.
VmStatus shutdown_status(const ShutdownNotice& notice);

/// The status when the process exists but no monitor responds.
VmStatus silent_status(std::string reason);

/// The final status of a VM whose process is gone.
/// `monitor_until_end`: the monitor was connected to the very end, so a SHUTDOWN event cannot have been missed.
VmStatus final_status(const ProcessExit& exit, const std::optional<ShutdownNotice>& notice, bool monitor_until_end);

/// The final status of a VM whose process is not known, once its monitor is gone.
VmStatus final_status(const ConnectionEnd& end, const std::optional<ShutdownNotice>& notice);

} // namespace qemuctl::detail
