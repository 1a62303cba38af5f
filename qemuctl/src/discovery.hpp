// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/monitor_address.hpp>

#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace qemuctl::detail {

/// A QMP monitor as a command line describes it, before anything is resolved against the running process.
struct MonitorOption {
  /// An inherited listening socket: descriptor number in the QEMU process.
  struct InheritedFd {
    int fd;
    bool operator==(const InheritedFd&) const = default;
  };
  /// A monitor that cannot be attached to: stdio, a pty, a client socket, ...; the text says what it is.
  struct Unusable {
    std::string what;
    bool operator==(const Unusable&) const = default;
  };
  std::variant<MonitorAddress, InheritedFd, Unusable> target;
  std::string option; ///< the option as it was written, for messages
  bool operator==(const MonitorOption&) const = default;
};

/// What a QEMU command line reveals. Pure.
struct QemuCommandLine {
  std::string name; ///< from `-name`, empty when there is none
  std::vector<MonitorOption> monitors;
  bool operator==(const QemuCommandLine&) const = default;
};

/// Understands `-qmp`, `-qmp-pretty`, `-mon`/`-chardev` (also as `chardev:ID`), `-object monitor-qmp` (key=value and
/// JSON), one or two dashes, doubled commas, old short booleans (`server,nowait`), `-name X`, `-name guest=X`.
QemuCommandLine parse_qemu_command_line(const std::vector<std::string>& argv);

/// A running QEMU, found by PID.
struct QemuProcess {
  int pid = 0;
  std::string name;
  std::vector<std::string> argv;
  struct Monitor {
    std::optional<MonitorAddress> address; ///< resolved as seen from this process; nullopt: cannot be attached to
    std::string description;               ///< the option as written, and why it cannot be used
  };
  std::vector<Monitor> monitors;
};

/// Reads /proc/PID: relative paths are resolved against the process's working directory and root
/// (`/proc/PID/root/...`, which works across mount namespaces), inherited descriptors through /proc/PID/fd and
/// /proc/net/unix. Throws `Error`: `errc::not_found` if there is no such process or it is not a QEMU.
QemuProcess inspect_qemu_process(int pid);

/// What holds the monitor behind a silent connection, from the kernel's socket tables (sock_diag for Unix sockets with
/// their peers, /proc/net/tcp for TCP) and /proc/*/fd.
struct MonitorHolder {
  int pid = 0;
  std::string command; ///< its name, from /proc/PID/comm
};

/// The client that `address` serves now, other than this process's own waiting connection; nullopt if there is none or
/// the kernel does not reveal it (another user's process, network namespace or machine).
/// `own_socket` is our connection's descriptor, or -1.
std::optional<MonitorHolder> find_monitor_holder(const MonitorAddress& address, int own_socket);

/// The state letter of /proc/PID/stat ('T' stopped, 'R', 'S', ...); '\0' when it cannot be read.
char process_state(int pid) noexcept;

/// /proc/PID/cmdline split at its NULs; empty when it cannot be read.
std::vector<std::string> read_command_line(int pid);

} // namespace qemuctl::detail
