// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// Queries to a VM with its CPUs stopped.
#pragma once

#include "run.hpp"
#include "temp_dir.hpp"

#include <qemuctl/instance.hpp>
#include <qemuctl/json.hpp>
#include <qemuctl/vm_config.hpp>

#include <asio/awaitable.hpp>
#include <asio/io_context.hpp>

#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace test {

/// A VM named "test", described by a vm.json in `dir`, where its files are created. TCG.
qemuctl::VmConfig describe(const std::string& json, const TempDir& dir, const std::filesystem::path& qemu);

struct Question {
  std::string command;
  qemuctl::Json arguments;
};

Question property(const std::string& qom_path, const std::string& name);
Question human(const std::string& command);
Question status();

/// A VM with its CPUs stopped. Killed on destruction.
class PausedVm {
 public:
  explicit PausedVm(const qemuctl::VmConfig& config);
  ~PausedVm();
  PausedVm(const PausedVm&) = delete;
  PausedVm& operator=(const PausedVm&) = delete;

  /// The reply's value; throws `qemuctl::Error` if QEMU replies with an error.
  qemuctl::Json operator()(const Question& question);
  /// Waits for the next event of this name since the start.
  qemuctl::Json wait_for(const std::string& event);

  qemuctl::Instance& instance() noexcept { return vm_; }
  /// Runs something on its executor.
  template<class T>
  T run(asio::awaitable<T> work) {
    return test::run(context_, std::move(work));
  }

 private:
  asio::io_context context_{1};
  qemuctl::Instance vm_;
  qemuctl::EventSubscription events_;
};

using Answers = std::function<qemuctl::Json(const Question&)>;

/// Launches the VM, calls `use`, and kills it.
void while_running(const qemuctl::VmConfig& config, const std::function<void(const Answers&)>& use);

/// The replies of such a VM.
std::vector<qemuctl::Json> ask(const qemuctl::VmConfig& config, const std::vector<Question>& questions);

} // namespace test
