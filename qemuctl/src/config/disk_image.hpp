// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/disk_config.hpp>

#include <string>
#include <string_view>

namespace qemuctl::detail {

/// QEMU's driver for an image file: `format`, or what the path ends with.
std::string image_format(const FileDiskBackend& backend);

/// QEMU's driver for a path: "file" rejects devices, and "host_device" everything else. Determined by the name alone,
/// so that a command line depends only on its description.
std::string file_driver(std::string_view path);

/// Whether a path is QEMU's name for a descriptor passed to it (`-add-fd`), not a file.
bool is_descriptor_set(std::string_view path) noexcept;

/// IDE and SATA have no read-only disks.
bool has_read_only_disks(std::string_view interface) noexcept;

/// The format that a file with these first bytes most likely has; empty: none that can be recognised.
std::string format_of_content(std::string_view first_bytes);
inline constexpr std::size_t format_magic_size = 68;

} // namespace qemuctl::detail
