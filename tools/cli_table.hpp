// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace tool {

/// Rows of text as lines with aligned columns, two spaces between them; the first row is the heading. What is not
/// printable is shown as '?', and an empty cell as '-'. Pure.
std::string table(const std::vector<std::vector<std::string>>& rows);

} // namespace tool
