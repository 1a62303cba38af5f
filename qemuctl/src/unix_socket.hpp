// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/file_descriptor.hpp>

#include <filesystem>
#include <utility>

namespace qemuctl::detail {

/// Two connected stream sockets. Throws `std::system_error`.
std::pair<FileDescriptor, FileDescriptor> unix_socket_pair();

/// Connects to a socket that somebody listens on in this very process, so that it does not wait. Throws
/// `std::system_error`.
FileDescriptor connect_unix(const std::filesystem::path& path);

} // namespace qemuctl::detail
