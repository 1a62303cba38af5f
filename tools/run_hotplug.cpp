// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "run_hotplug.hpp"

#include "process.hpp"

#include <qemuctl/file_descriptor.hpp>

#include <asio/co_spawn.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <exception>
#include <system_error>
#include <utility>

namespace tool {

namespace {

/// Beside this program, as in a build, or where it is installed.
std::filesystem::path find_service() {
  const std::filesystem::path folder = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  const std::filesystem::path beside = folder / "qemuctl-hotplugd";
  std::error_code ec;
  return std::filesystem::exists(beside, ec) ? beside : folder.parent_path() / "sbin/qemuctl-hotplugd";
}

/// A file without a name that holds the text.
qemuctl::FileDescriptor memory_file(const std::string& text) {
  qemuctl::FileDescriptor file(::memfd_create("rules", MFD_CLOEXEC));
  if (!file || ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    throw std::system_error(errno, std::generic_category(), "pass the rules on");
  return file;
}

} // namespace

RunHotplug::RunHotplug(asio::any_io_executor executor, Output output)
    : executor_(executor), output_(std::move(output)), engine_end_(executor) {}

void RunHotplug::read_rules(const std::filesystem::path& file, const std::string& vm) {
  rules_file_ = std::filesystem::absolute(file);
  take(hotplug::load_rules(file, vm));
}

void RunHotplug::read_rules(const qemuctl::VmConfig& config, const std::filesystem::path& vm_file) {
  if (!config.hotplug) return;
  if (!config.hotplug->rules_file.empty()) return read_rules(config.hotplug->rules_file, config.name);
  if (config.hotplug->rules.is_null()) return;
  rules_in_vm_file_ = config.hotplug->rules;
  take(hotplug::read_rules(rules_in_vm_file_, config.name, vm_file.string() + ": hotplug"));
}

void RunHotplug::take(hotplug::ParsedConfig parsed) {
  for (const std::string& warning : parsed.warnings) output_.warning(fmt::format("warning: {}", warning));
  rules_ = std::move(parsed.config);
}

hotplug::Engine& RunHotplug::engine() {
  if (engine_) return *engine_;
  hotplug::EngineOptions options;
  options.attach_connected = true;
  options.log = [this](hotplug::LogLevel level, std::string_view text) {
    if (level == hotplug::LogLevel::debug) return;
    const auto& out = level == hotplug::LogLevel::info ? output_.news : output_.warning;
    out(fmt::format("hotplug: {}", text));
  };
  engine_.emplace(executor_, *rules_, std::move(options));
  engine_runs_ = true;
  // A VM without hotplug is better than none.
  asio::co_spawn(executor_, engine_->run(), [this](const std::exception_ptr& failure) {
    engine_runs_ = false;
    engine_end_.cancel();
    try {
      if (failure) std::rethrow_exception(failure);
    } catch (const std::exception& error) {
      output_.warning(error.what());
    }
  });
  return *engine_;
}

asio::awaitable<qemuctl::VmConfig> RunHotplug::with_start_devices(qemuctl::VmConfig config) {
  return engine().with_start_devices(std::move(config));
}

void RunHotplug::follow(std::shared_ptr<qemuctl::Instance> vm) {
  const std::string name = vm->name();
  engine().add_vm(name, std::move(vm));
}

asio::awaitable<bool> RunHotplug::wait_until_given_back(std::chrono::milliseconds timeout) {
  if (!engine_runs_) co_return true;
  engine_end_.expires_after(timeout);
  std::error_code ec;
  co_await engine_end_.async_wait(asio::redirect_error(asio::use_awaitable, ec));
  co_return !engine_runs_;
}

int RunHotplug::hand_over(const qemuctl::Instance& vm) {
  if (engine_) engine_->stop();
  const std::filesystem::path log_file = vm.log_file().parent_path() / (vm.name() + "-hotplug.log");
  const qemuctl::FileDescriptor log(
      ::open(log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!log) throw std::system_error(errno, std::generic_category(), log_file.string());

  qemuctl::detail::SpawnOptions spawn;
  std::string rules = rules_file_.string();
  qemuctl::FileDescriptor memory;
  if (rules_file_.empty()) { // what the VM's file says of them may be another thing tomorrow
    memory = memory_file(rules_in_vm_file_.dump());
    spawn.inherited = {memory.get()};
    rules = fmt::format("/proc/self/fd/{}", qemuctl::detail::first_inherited_fd);
  }
  spawn.argv = {find_service().string(), "-a", "--pid", std::to_string(*vm.pid()), "--rules", rules};
  spawn.output = log.get();
  return qemuctl::detail::Process::spawn(executor_, spawn).pid();
}

} // namespace tool
