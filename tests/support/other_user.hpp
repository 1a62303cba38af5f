// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

namespace test {

/// Skips the case unless running as root.
void need_root();

/// Runs `function` as the user nobody, in its own process, and returns or throws what it does.
std::string as_nobody(const std::function<std::string()>& function);

} // namespace test
