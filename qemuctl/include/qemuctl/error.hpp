// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <system_error>

namespace qemuctl {

/// Error codes, one for each case a program can act on.
///
/// Do not confuse two of them: `command_failed` means that QEMU replied with an error, so nothing was done;
/// `interrupted` means that the command was sent but no reply came, so it may or may not have been executed.
///
/// `timed_out` compares equal to `std::errc::timed_out`.
enum class errc {
  invalid_argument = 1, ///< a value from the caller or a file is invalid; nothing was started
  not_found,            ///< no such QEMU binary, process, monitor or file
  not_supported,        ///< this QEMU, or this VM, cannot do it
  already_running,      ///< a VM of that name is already running
  launch_failed,        ///< QEMU could not be started, or ended before it was ready
  connect_failed,       ///< the monitor cannot be reached
  monitor_in_use,       ///< the monitor is held by another client
  protocol_error,       ///< the peer does not speak QMP, or broke a size or nesting limit
  command_failed,       ///< QEMU answered with an error; `Diagnostics::qmp_class` and `server_text` say which
  interrupted,          ///< the command was sent but its outcome is unknown
  disconnected,         ///< the connection has ended; the command was not sent
  timed_out,            ///< the deadline passed before anything was sent, or before the awaited event
  overloaded,           ///< a bounded queue is full; nothing was sent
  not_running,          ///< the VM is known, but not running
  aborted,              ///< abandoned because of a later request or because the service is ending
};

/// The category of `errc`; its name is "qemuctl".
const std::error_category& error_category() noexcept;

std::error_code make_error_code(errc code) noexcept;

/// The parts of an error message, for programs that display or classify them. Any may be empty.
struct Diagnostics {
  std::string operation{};   ///< what was being done, to follow "cannot": "attach to the monitor"
  std::string subject{};     ///< to what: `VM demo`, `/run/qemu/demo.sock`
  std::string command{};     ///< the QMP command, if any
  std::string qmp_class{};   ///< QEMU's error class ("GenericError", "DeviceNotFound", ...), for `command_failed`
  std::string server_text{}; ///< QEMU's own words (QMP `desc`, or its last lines on stderr); not ours
  std::string detail{};      ///< what went wrong, in our words; empty if the code's message suffices
  std::string advice{};      ///< what to do about it, as a sentence

  bool operator==(const Diagnostics&) const = default;
};

/// The exception of this library. `code()` is an `errc` (or a system error for a failed system call); `what()` is a
/// complete sentence built from `diagnostics()`:
///
///     cannot {operation} ({subject}): {detail or the code's message}: {server_text}. {advice}
///
/// The only other exceptions the asynchronous functions throw are `std::bad_alloc` and, on cancellation,
/// `std::system_error` with a code equal to `std::errc::operation_canceled`, or `asio::error::operation_aborted` if the
/// calling coroutine had already been cancelled (Asio 1.22 does not treat the two as equal).
class Error : public std::system_error {
 public:
  Error(std::error_code code, Diagnostics diagnostics);

  const Diagnostics& diagnostics() const noexcept { return diagnostics_; }
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  Diagnostics diagnostics_;
  std::string message_;
};

} // namespace qemuctl

template<>
struct std::is_error_code_enum<qemuctl::errc> : std::true_type {};
