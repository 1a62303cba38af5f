// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace qemuctl::detail {

/// Whether it is a regular file we may execute.
bool is_program(const std::filesystem::path& path);

/// The folders of `$PATH`, then those of `more` that are not among them.
std::vector<std::filesystem::path> program_folders(const std::vector<std::filesystem::path>& more);

/// @name Programs that serve a VM; nullopt: not installed
/// @{
std::optional<std::filesystem::path> find_swtpm();
std::optional<std::filesystem::path> find_virtiofsd();
/// @}

} // namespace qemuctl::detail
