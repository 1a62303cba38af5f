// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "../problems.hpp"

#include <qemuctl/vm_config.hpp>

namespace qemuctl::detail {

/// See `check_files`. Besides files: devices of the host that the VM needs (`/dev/vhost-net`, `/dev/vhost-vsock`).
void find_missing_files(const VmConfig& config, Problems& problems);

} // namespace qemuctl::detail
