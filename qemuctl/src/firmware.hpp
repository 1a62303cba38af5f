// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace qemuctl::detail {

/// UEFI firmware installed by a distribution.
struct Firmware {
  std::string code;          ///< the image
  std::string vars_template; ///< template of a VM's variables; empty: none
};

/// What the firmware is needed for, in the terms of the descriptor files.
struct FirmwareNeeds {
  std::string architecture; ///< QEMU's: "x86_64"
  std::string machine;      ///< "q35", "pc-q35-7.2"
  bool secure_boot = false; ///< with keys enrolled
};

/// The folders with firmware descriptors, by decreasing priority (QEMU's docs/interop/firmware.json, "The JSON
/// firmware descriptors are located in ...").
std::vector<std::filesystem::path> firmware_folders();

/// The first descriptor, by file name, that meets `needs`. A file in an earlier folder hides those of the same name in
/// later ones, and an empty one hides them without replacing them. Files that cannot be parsed are skipped.
std::optional<Firmware> find_firmware(const std::vector<std::filesystem::path>& folders, const FirmwareNeeds& needs);

} // namespace qemuctl::detail
