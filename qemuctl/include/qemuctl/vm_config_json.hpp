// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/json.hpp>
#include <qemuctl/vm_config.hpp>

#include <filesystem>
#include <string>
#include <string_view>

namespace qemuctl {

/// Reads a `vm.json`. Keys are the members of `VmConfig` in camelCase.
///
/// Relative paths in it are made relative to `base_dir`. All errors of the file are reported together, in one `Error`
/// (`errc::invalid_argument`) whose `detail` has a line for each: the path of the value (`disks[1].backend.type`), what
/// was found, what was expected and, for an unknown key, the nearest known one. `source` is the file name it shows.
VmConfig parse_vm_config(std::string_view text, const std::string& source = "vm.json",
                         const std::filesystem::path& base_dir = {});

/// The same for a file; without a `name`, the VM is named after the file, without its extension.
/// Throws `Error`: `not_found` if it cannot be read, `invalid_argument` if it exceeds 1 MiB.
VmConfig load_vm_config(const std::filesystem::path& file);

} // namespace qemuctl
