// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/json.hpp>

#include <string>
#include <vector>

namespace qemuctl::detail {

/// `QemuInfo::features` from the reply to `query-qmp-schema`: the kinds of network backends, block drivers and
/// character devices, and the members of those that have changed. Types in a schema have numbers instead of names
/// (QEMU's docs/devel/qapi-code-gen.rst, "Client JSON Protocol introspection"), so it is walked from the commands on.
/// Sorted. A schema of another shape gives fewer features, never an error.
std::vector<std::string> schema_features(const Json& schema);

} // namespace qemuctl::detail
