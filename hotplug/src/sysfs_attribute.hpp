// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace hotplug::detail {

/// The first line of a file of sysfs; empty: there is none.
std::string read_attribute(const std::string& file);

/// What is wrong; empty: it is written. For what the kernel does at once; otherwise see `write_sysfs`.
std::string write_attribute(const std::string& file, const std::string& value);

} // namespace hotplug::detail
