// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "json_format.hpp"

#include <qemuctl/vm_config.hpp>

namespace qemuctl::detail {

/// How vm.json is written: the one table of its keys.
const Format<VmConfig>& vm_config_format();

} // namespace qemuctl::detail
