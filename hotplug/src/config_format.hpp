// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "json_format.hpp"

#include <hotplug/config.hpp>

#include <string>
#include <vector>

namespace hotplug::detail {

/// A configuration while it is read.
struct ConfigFile {
  Config config;
  std::vector<std::string> skipped; ///< keys that belong to other programs, and why they have no effect
};

/// The format with rules of their own.
const qemuctl::detail::Format<ConfigFile>& config_format();

/// The first format, with rules inside of `vms[]`.
const qemuctl::detail::Format<ConfigFile>& first_config_format();

} // namespace hotplug::detail
