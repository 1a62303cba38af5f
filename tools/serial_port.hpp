// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/file_descriptor.hpp>
#include <qemuctl/json.hpp>

#include <string>
#include <string_view>

namespace tool {

/// A chardev of a running VM, from what `query-chardev` calls its `filename`.
struct Chardev {
  enum class Kind { unix_socket, pty, other };
  Kind kind = Kind::other;
  std::string path;    ///< of the socket or the pty
  bool in_use = false; ///< a socket with a client; it serves only one
  bool operator==(const Chardev&) const = default;
};

/// QEMU writes "disconnected:unix:PATH,server=on", "unix:PATH,server=on" while it has a client, "pty:/dev/pts/N", ...;
/// commas in PATH are left as they are. Pure.
Chardev parse_chardev(std::string_view filename);

/// The `filename` of the first serial port in the reply to `query-chardev`: labelled "serial0" by QEMU itself, or the
/// first label with "serial" in it. Empty when there is none. Pure.
std::string first_serial_port(const qemuctl::Json& chardevs);

/// Connects to the serial port behind `filename`. Throws `std::runtime_error` with a sentence when that is not
/// possible.
qemuctl::FileDescriptor connect_serial_port(const std::string& filename);

} // namespace tool
