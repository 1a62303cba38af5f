// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hotplug/config.hpp>

#include <cstddef>
#include <filesystem>
#include <string>

namespace tool {

/// "2 VMs, 1 USB rule, 3 PCI rules"
std::string summary(std::size_t vms, const hotplug::Config& config);

/// Prints what there is to say about a configuration that could be read, on this host: `--check`. The exit status.
int check(const std::filesystem::path& file, const hotplug::Config& config);

/// Prints for each device of this host that `name` means which VM it would go to, and why: `--explain`. The exit
/// status.
int explain(const std::string& name, const hotplug::Config& config);

} // namespace tool
