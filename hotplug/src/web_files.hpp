// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <vector>

namespace hotplug::detail {

/// A file of `hotplug/web` that is part of the program.
struct WebFile {
  std::string_view name; ///< "index.html"
  std::string_view content;
};

/// All of them; made by `tools/cmake/embed.cmake`.
const std::vector<WebFile>& web_files();

/// What a browser is told that a file of that name is.
std::string_view content_type_of(std::string_view name);

} // namespace hotplug::detail
