// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

namespace qemuctl::detail {

/// The contents of a regular file written by a person. Throws `Error`, saying that `operation` failed: `not_found` if
/// it cannot be read, `invalid_argument` if it is larger than `max_size` bytes.
std::string read_text_file(const std::filesystem::path& file, std::size_t max_size, const char* operation);

} // namespace qemuctl::detail
