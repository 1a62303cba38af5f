// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/json.hpp>

#include <filesystem>
#include <optional>
#include <string>

namespace qemuctl::detail {

/// Identifies a cached answer, and when it is valid.
struct CacheKey {
  std::string kind; ///< part of the file's name
  Json subject;     ///< what the answer is about; there is one file for each subject
  Json state;       ///< what the answer depends on; if that changes, the file is replaced
};

/// Small answers that are expensive to obtain, one JSON file each, in `cache_dir()`. Losing one only costs time, so
/// nothing here throws but `std::bad_alloc`.
///
/// A file holds its whole key next to its value, so a stale or colliding file is never trusted, nor is one that belongs
/// to another user.
std::optional<Json> cache_load(const CacheKey& key);
void cache_store(const CacheKey& key, const Json& value) noexcept; ///< atomically, by rename

/// `$XDG_CACHE_HOME/qemuctl`, else for root `/var/cache/qemuctl`, else `~/.cache/qemuctl`. Empty without a home folder.
std::filesystem::path cache_dir();

/// A fingerprint of a program file: its size, modification time in nanoseconds, and the modification times of the
/// folders QEMU loads modules from (`PREFIX/lib*/qemu`, `PREFIX/lib*/*/qemu`), which change when one is installed. Null
/// if there is none, because the file is a script that runs something else, or cannot be read.
Json program_state(const std::filesystem::path& program);

} // namespace qemuctl::detail
