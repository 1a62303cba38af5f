// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "ask.hpp"

#include "run.hpp"
#include "sample_files.hpp"

#include <qemuctl/instance.hpp>
#include <qemuctl/vm_config_json.hpp>

#include <asio/io_context.hpp>

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

void while_running(const qemuctl::VmConfig& config, const std::function<void(const Answers&)>& use) {
  qemuctl::LaunchOptions options;
  options.paused = true;
  options.kill_on_destruction = true;
  asio::io_context context(1);
  Instance vm = run(context, Instance::launch(config, options));
  use([&](const Question& question) { return run(context, vm.execute(question.command, question.arguments)); });
  run(context, vm.force_stop());
}

std::vector<Json> ask(const qemuctl::VmConfig& config, const std::vector<Question>& questions) {
  std::vector<Json> replies;
  while_running(config, [&](const Answers& answers) {
    for (const Question& question : questions) replies.push_back(answers(question));
  });
  return replies;
}

} // namespace test
