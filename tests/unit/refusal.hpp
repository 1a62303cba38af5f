// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/error.hpp>
#include <qemuctl/qemu_info.hpp>

#include <string>
#include <vector>

namespace test {

/// A QEMU 7.2 for x86 of which nothing more is known, so that it is assumed to support everything.
qemuctl::QemuInfo some_qemu();

/// The error for a vm.json whose relative paths are relative to "/vm", or "not refused". Checks that the error has
/// `code`.
std::string refusal(const std::string& vm_json, const qemuctl::QemuInfo& qemu = some_qemu(),
                    qemuctl::errc code = qemuctl::errc::invalid_argument);

/// The values of the `option`s of the command line for a vm.json.
std::vector<std::string> values_of(const std::string& option, const std::string& vm_json,
                                   const qemuctl::QemuInfo& qemu = some_qemu());

} // namespace test
