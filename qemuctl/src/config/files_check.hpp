// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "../problems.hpp"

#include <qemuctl/vm_config.hpp>

namespace qemuctl::detail {

/// @name What a VM needs from the host
/// @{
/// Files, folders, programs, devices such as `/dev/vhost-net`.
void find_missing_files(const VmConfig& config, Problems& problems);
/// Network interfaces, and descriptors of them.
void find_missing_interfaces(const VmConfig& config, Problems& problems);
/// USB and PCI devices, and what they have to be bound to.
void find_missing_host_devices(const VmConfig& config, Problems& problems);
/// @}

/// `readOnly`, or `autoReadOnly` and a file that cannot be written.
bool is_read_only(const DiskConfig& disk);

} // namespace qemuctl::detail
