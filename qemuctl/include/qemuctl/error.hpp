// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <system_error>

namespace qemuctl {

/// What went wrong, in the classes a program can act on.
///
/// Two of them must never be confused: `command_failed` means that QEMU answered and refused, so nothing was done;
/// `interrupted` means that the command was sent and no answer came, so it may or may not have been carried out.
///
/// `timed_out` compares equal to `std::errc::timed_out`.
enum class errc {
  invalid_argument = 1, ///< a value given by the caller or read from a file cannot be right; nothing was started
  not_found,            ///< no QEMU binary, process, monitor or file of that name
  not_supported,        ///< this QEMU, or this VM, cannot do it
  already_running,      ///< a VM of that name runs already
  launch_failed,        ///< QEMU could not be started, or ended before it was ready
  connect_failed,       ///< the monitor cannot be reached
  monitor_in_use,       ///< the monitor is there, but another client holds it
  protocol_error,       ///< the peer does not speak QMP, or broke a size or nesting limit
  command_failed,       ///< QEMU answered with an error; `Diagnostics::qmp_class` and `server_text` say which
  interrupted,          ///< the command was sent but its outcome is unknown
  disconnected,         ///< the connection is over; the command was not sent
  timed_out,            ///< the deadline passed before anything was sent or before what was waited for happened
  overloaded,           ///< a bounded queue is full; nothing was sent
  not_running,          ///< the VM is known, but does not run now
  aborted,              ///< given up before it was done: a later request, or the end of the service, came first
};

/// The category of `errc`; its name is "qemuctl".
const std::error_category& error_category() noexcept;

std::error_code make_error_code(errc code) noexcept;

/// The parts of an error message, for programs that show or sort them. Any of them may be empty.
struct Diagnostics {
  std::string operation{};   ///< what was being done, as it follows "cannot": "attach to the monitor"
  std::string subject{};     ///< to what: `VM demo`, `/run/qemu/demo.sock`
  std::string command{};     ///< the QMP command, when there was one
  std::string qmp_class{};   ///< QEMU's error class ("GenericError", "DeviceNotFound", ...), for `command_failed`
  std::string server_text{}; ///< QEMU's own words (QMP `desc`, or its last lines on stderr); not ours
  std::string detail{};      ///< what went wrong, in our words; empty when the code's message says it all
  std::string advice{};      ///< what to do about it; a sentence, may be empty

  bool operator==(const Diagnostics&) const = default;
};

/// The exception of this library. `code()` is an `errc` (or a system error for a failed system call); `what()` is a
/// whole sentence made from `diagnostics()`:
///
///     cannot {operation} ({subject}): {detail or the code's message}: {server_text}. {advice}
///
/// The only other exceptions the asynchronous functions throw are `std::bad_alloc` and, when the caller cancelled them,
/// `std::system_error` with a code that equals `std::errc::operation_canceled`, or `asio::error::operation_aborted`
/// when they were started in a coroutine that had been cancelled before (Asio 1.22 does not hold the two for equal).
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
