// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/file_descriptor.hpp>

#include <sys/un.h>

#include <filesystem>
#include <utility>

namespace qemuctl::detail {

/// Two connected stream sockets. Throws `std::system_error`.
std::pair<FileDescriptor, FileDescriptor> unix_socket_pair();

/// Connects to a socket that this very process listens on, so it never waits. Throws
/// `std::system_error`.
FileDescriptor connect_unix(const std::filesystem::path& path);

/// The path as a socket address; truncated to what that holds (107 bytes).
sockaddr_un unix_address_of(const std::filesystem::path& path);

/// Who listens on a Unix socket: 0 nobody, otherwise its PID, or -1 if unknown. Never waits.
int listener_of(const std::filesystem::path& path);

} // namespace qemuctl::detail
