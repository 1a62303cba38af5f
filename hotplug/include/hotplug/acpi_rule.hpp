// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace hotplug {

/// A table of the host's firmware, or a file like one, that a VM starts with.
struct AcpiTable {
  std::string file;                ///< "/sys/firmware/acpi/tables/NHLT"
  std::string set_user, set_group; ///< the file is given to them before QEMU starts; empty: unchanged
  std::string description;
  bool enabled = true; ///< otherwise it is as if it were not there
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
