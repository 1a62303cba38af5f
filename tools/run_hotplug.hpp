// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hotplug/config.hpp>
#include <hotplug/engine.hpp>
#include <qemuctl/instance.hpp>
#include <qemuctl/vm_config.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/steady_timer.hpp>

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace tool {

/// The hotplug side of one run of `qemuctl-run`: the rules for its VM, and the engine that follows them.
class RunHotplug {
 public:
  struct Output {
    std::function<void(std::string_view text)> news;    ///< what was done with devices
    std::function<void(std::string_view text)> warning; ///< what needs attention, errors included
  };

  RunHotplug(asio::any_io_executor executor, Output output);

  /// The rules of a file, for the VM `vm`. Throws what `hotplug::load_rules` does.
  void read_rules(const std::filesystem::path& file, const std::string& vm);
  /// The rules that a VM's own file has or names, if it does.
  void read_rules(const qemuctl::VmConfig& config, const std::filesystem::path& vm_file);
  bool has_rules() const noexcept { return rules_.has_value(); }

  /// The VM with the devices that are present. They are taken from the host for it.
  asio::awaitable<qemuctl::VmConfig> with_start_devices(qemuctl::VmConfig config);

  /// Follows the rules in this process until the VM ends.
  void follow(std::shared_ptr<qemuctl::Instance> vm);
  /// Waits until the engine has given back what it took for a VM that has ended; false if it has not within `timeout`.
  asio::awaitable<bool> wait_until_given_back(std::chrono::milliseconds timeout);

  /// Leaves the rules to a `qemuctl-hotplugd` of their own, which ends with the VM; says its PID.
  int hand_over(const qemuctl::Instance& vm);

  /// Ends the engine, which gives back what no VM has: all of it when the VM did not start.
  void stop() { engine_.reset(); }

 private:
  void take(hotplug::ParsedConfig parsed);
  hotplug::Engine& engine();

  asio::any_io_executor executor_;
  Output output_;
  std::optional<hotplug::Config> rules_;
  std::filesystem::path rules_file_; ///< where they are from; empty: from the VM's file, and then they are here:
  qemuctl::Json rules_in_vm_file_;
  std::optional<hotplug::Engine> engine_;
  bool engine_runs_ = false;
  asio::steady_timer engine_end_; ///< cancelled by it
};

} // namespace tool
