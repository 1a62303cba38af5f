// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/json.hpp>

#include <filesystem>
#include <optional>
#include <string>

namespace qemuctl::detail {

/// Which answer of the cache, and when it holds.
struct CacheKey {
  std::string kind; ///< part of the file's name
  Json subject;     ///< what the answer is about; there is one file for each subject
  Json state;       ///< what the answer depends on; when that changes, the file is replaced
};

/// Small answers that are expensive to find, one JSON file each, in `cache_dir()`. Losing it costs time only, so
/// nothing here throws but `std::bad_alloc`.
///
/// A file holds its whole key next to its value, so neither a stale nor a colliding file is ever believed; and only one
/// that belongs to the user this program runs as.
std::optional<Json> cache_load(const CacheKey& key);
void cache_store(const CacheKey& key, const Json& value) noexcept; ///< atomically, by rename

/// `$XDG_CACHE_HOME/qemuctl`, else for root `/var/cache/qemuctl`, else `~/.cache/qemuctl`. Empty when there is no home.
std::filesystem::path cache_dir();

/// What tells one content of a program file from another: size, modification time in nanoseconds, and the modification
/// times of the folders QEMU loads modules from (`PREFIX/lib*/qemu`, `PREFIX/lib*/*/qemu`), which change when one is
/// installed. Null when that cannot tell, because it is a script that runs something else, or cannot be read.
Json program_state(const std::filesystem::path& program);

} // namespace qemuctl::detail
