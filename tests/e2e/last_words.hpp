// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace test {

/// Keeps a text that is shown when the running case fails.
void keep_for_failure(std::string text);

} // namespace test
