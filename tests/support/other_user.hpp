// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

namespace test {

/// Skips the case unless it runs as root.
void need_root();

/// What `function` returns when it is run by the user nobody, in a process of its own; or what it throws.
std::string as_nobody(const std::function<std::string()>& function);

} // namespace test
