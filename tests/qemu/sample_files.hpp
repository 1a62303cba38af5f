// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/vm_config.hpp>

namespace test {

/// Creates the missing files that `config` names: small empty disk images in their formats, folders, and a kernel and
/// firmware that QEMU accepts but that do nothing.
void make_files(const qemuctl::VmConfig& config);

} // namespace test
