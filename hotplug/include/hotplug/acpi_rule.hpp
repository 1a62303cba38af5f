// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace hotplug {

/// An ACPI table, of the host's firmware or from a file, that a VM starts with.
struct AcpiTable {
  std::string file;                ///< "/sys/firmware/acpi/tables/NHLT"
  std::string set_user, set_group; ///< new owner of the file, set before QEMU starts; empty: unchanged
  std::string description;
  bool enabled = true; ///< false: ignored
  bool operator==(const AcpiTable&) const = default;
};

/// The ACPI tables that a VM starts with.
struct AcpiRule {
  std::string description;
  std::string vm;
  std::vector<AcpiTable> allow;
  bool enabled = true;
  bool operator==(const AcpiRule&) const = default;
};

} // namespace hotplug
