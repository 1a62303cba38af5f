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

/// Connects to a socket that somebody listens on in this very process, so that it does not wait. Throws
/// `std::system_error`.
FileDescriptor connect_unix(const std::filesystem::path& path);

/// That path as a socket's address; a longer one than it takes (107 bytes) is cut off.
sockaddr_un unix_address_of(const std::filesystem::path& path);

/// Who listens on a Unix socket: 0 nobody, otherwise its PID, or -1 when the kernel does not tell. Never waits.
int listener_of(const std::filesystem::path& path);

} // namespace qemuctl::detail
