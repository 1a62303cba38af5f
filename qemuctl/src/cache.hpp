// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/json.hpp>

#include <filesystem>
#include <optional>
#include <string>

namespace qemuctl::detail {

/// Small answers that are expensive to find, one JSON file each, in `$XDG_CACHE_HOME/qemuctl` (or `~/.cache/qemuctl`, for
/// root `/var/cache/qemuctl`). Losing it costs time only, so nothing here throws.
///
/// A file holds its whole key next to its value, so neither a stale nor a colliding file is ever believed.
std::filesystem::path cache_dir();
std::optional<Json> cache_load(const std::string& kind, const Json& key);
void cache_store(const std::string& kind, const Json& key, const Json& value) noexcept; ///< atomically, by rename

/// The parts of a key that identify a file's content: path, size, modification time in nanoseconds.
Json file_identity(const std::filesystem::path& file);

} // namespace qemuctl::detail
