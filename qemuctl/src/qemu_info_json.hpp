// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/json.hpp>
#include <qemuctl/qemu_info.hpp>

#include <filesystem>

namespace qemuctl::detail {

/// What the cache keeps of a QEMU, and recordings of one; all but its path.
Json qemu_info_to_json(const QemuInfo& info);
/// Throws `Error` when it has another shape.
QemuInfo qemu_info_from_json(const std::filesystem::path& binary, const Json& json);

} // namespace qemuctl::detail
