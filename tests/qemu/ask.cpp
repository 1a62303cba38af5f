// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "ask.hpp"

#include "sample_files.hpp"

#include <qemuctl/vm_config_json.hpp>

#include <chrono>
#include <optional>
#include <stdexcept>

namespace test {

using qemuctl::Instance;
using qemuctl::Json;

qemuctl::VmConfig describe(const std::string& json, const TempDir& dir, const std::filesystem::path& qemu) {
  qemuctl::VmConfig config = qemuctl::parse_vm_config(json, "vm.json", dir.path());
  config.name = "test";
  config.qemu_path = qemu.string();
  config.socket_dir = dir.path().string();
  config.machine.accel = "tcg";
  make_files(config);
  return config;
}

Question property(const std::string& qom_path, const std::string& name) {
  return {"qom-get", Json::object({{"path", qom_path}, {"property", name}})};
}

Question human(const std::string& command) {
  return {"human-monitor-command", Json::object({{"command-line", command}})};
}

Question status() {
  return {"query-status", {}};
}

namespace {

qemuctl::LaunchOptions paused() {
  qemuctl::LaunchOptions options;
  options.paused = true;
  options.kill_on_destruction = true;
  return options;
}

} // namespace

PausedVm::PausedVm(const qemuctl::VmConfig& config)
    : vm_(test::run(context_, Instance::launch(config, paused()))), events_(vm_.subscribe_events()) {}

PausedVm::~PausedVm() {
  test::run(context_, vm_.force_stop());
}

Json PausedVm::operator()(const Question& question) {
  return run(vm_.execute(question.command, question.arguments));
}

Json PausedVm::wait_for(const std::string& event) {
  for (;;) {
    const auto next = run(events_.next(std::chrono::seconds(20)));
    if (!next) throw std::runtime_error("the VM ended before " + event);
    if (next->name == event) return next->data;
  }
}

void while_running(const qemuctl::VmConfig& config, const std::function<void(const Answers&)>& use) {
  PausedVm vm(config);
  use([&](const Question& question) { return vm(question); });
}

std::vector<Json> ask(const qemuctl::VmConfig& config, const std::vector<Question>& questions) {
  std::vector<Json> replies;
  while_running(config, [&](const Answers& answers) {
    for (const Question& question : questions) replies.push_back(answers(question));
  });
  return replies;
}

} // namespace test
