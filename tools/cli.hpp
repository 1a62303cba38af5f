// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli_options.hpp"

namespace tool {

/// Runs `qemuctl` to its end. The exit status. Throws what it could not go on after.
int run_cli(CliOptions options);

} // namespace tool
