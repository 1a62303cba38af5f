// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace qemuctl::detail {

/// UEFI firmware as a distribution has it.
struct Firmware {
  std::string code;          ///< the image
  std::string vars_template; ///< for the variables of a VM; empty: it has none
};

/// What a firmware is wanted for, in the words of the descriptions.
struct FirmwareNeeds {
  std::string architecture; ///< QEMU's: "x86_64"
  std::string machine;      ///< "q35", "pc-q35-7.2"
  bool secure_boot = false; ///< with keys enrolled
};

/// The folders with firmware descriptions, the most important first (QEMU's docs/interop/firmware.json, "The JSON
/// firmware descriptors are located in ...").
std::vector<std::filesystem::path> firmware_folders();

/// The first description, by the names of their files, that meets `needs`. A file in an earlier folder hides those of
/// the same name in later ones, and an empty one hides them without replacing them. Files that cannot be understood
/// are skipped.
std::optional<Firmware> find_firmware(const std::vector<std::filesystem::path>& folders, const FirmwareNeeds& needs);

} // namespace qemuctl::detail
