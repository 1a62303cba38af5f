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
/// Relative paths in it are made relative to `base_dir`. Every error of the file is found and reported at once, in one
/// `Error` (`errc::invalid_argument`) whose `detail` has a line for each: the path of the value
/// (`disks[1].backend.type`), what was found, what was expected and, for an unknown key, the nearest known one.
/// `source` names the file in it.
VmConfig parse_vm_config(std::string_view text, const std::string& source = "vm.json",
                         const std::filesystem::path& base_dir = {});

/// The same for a file; without a `name` in it, the VM is called as the file without its extension.
/// Throws `Error` (`errc::not_found`) when it cannot be read; it may have at most 1 MiB.
VmConfig load_vm_config(const std::filesystem::path& file);

} // namespace qemuctl
