// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// What a VM with its CPUs stopped answers.
#pragma once

#include "temp_dir.hpp"

#include <qemuctl/json.hpp>
#include <qemuctl/vm_config.hpp>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace test {

/// A VM called "test", described by a vm.json in `dir`, whose files are made there. TCG.
qemuctl::VmConfig describe(const std::string& json, const TempDir& dir, const std::filesystem::path& qemu);

struct Question {
  std::string command;
  qemuctl::Json arguments;
};

Question property(const std::string& qom_path, const std::string& name);
Question human(const std::string& command);
Question status();

/// The reply's value; throws `qemuctl::Error` when QEMU refuses.
using Answers = std::function<qemuctl::Json(const Question&)>;

/// Launches the VM, calls `use`, and kills it.
void while_running(const qemuctl::VmConfig& config, const std::function<void(const Answers&)>& use);

/// The answers of such a VM.
std::vector<qemuctl::Json> ask(const qemuctl::VmConfig& config, const std::vector<Question>& questions);

} // namespace test
