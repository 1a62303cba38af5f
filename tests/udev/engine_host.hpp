// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "run.hpp"
#include "temp_dir.hpp"
#include "testbed.hpp"

#include <hotplug/engine.hpp>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <asio/use_awaitable.hpp>
#include <fmt/format.h>

#include <chrono>
#include <exception>
#include <filesystem>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>

namespace test {

/// A host with USB devices, and an engine that serves VMs.
class EngineHost {
 public:
  EngineHost() {
    options.attach_connected = true;
    options.runtime_dir = dir.path();
    config.general.persistency = false;
  }

  ~EngineHost() { stop(); }

  /// Ends the engine; another one may be started then.
  void stop() {
    if (!engine) return;
    engine->stop();
    run(io, [this]() -> asio::awaitable<void> {
      while (running) co_await asio::post(asio::use_awaitable);
    });
    engine.reset();
  }

  std::filesystem::path socket(const std::string& vm) const { return dir / (vm + ".sock"); }

  void add_vm(const std::string& name, const std::string& monitor = "hold") {
    hotplug::VmEntry entry;
    entry.name = name;
    entry.socket = socket(name).string();
    entry.monitor = monitor;
    config.vms.push_back(entry);
  }

  /// What is called so goes there.
  hotplug::UsbRule& add_rule(const std::string& product, const std::string& vm) {
    hotplug::UsbMatch match;
    match.product_name = product;
    hotplug::UsbRule rule;
    rule.vms.push_back(vm);
    rule.allow.push_back(match);
    config.usb_rules.push_back(rule);
    return config.usb_rules.back();
  }

  void start() {
    engine.emplace(io.get_executor(), config, options);
    run_engine();
  }

  void run_engine() {
    running = true;
    asio::co_spawn(io, engine->run(), [this](std::exception_ptr error) {
      running = false;
      failure = error;
    });
  }

  /// Runs the engine until it is so.
  void wait_until(const char* what, const std::function<bool()>& holds) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    io.restart();
    while (!holds()) {
      if (failure) std::rethrow_exception(failure);
      if (io.stopped() || std::chrono::steady_clock::now() >= deadline)
        throw std::runtime_error(fmt::format("waited in vain until {}", what));
      io.run_one_for(std::chrono::milliseconds(10)); // what comes true elsewhere wakes nobody here
    }
  }

  /// Starts the engine and waits until it has looked at everything there is.
  void start_and_connect() {
    start();
    wait_until("it is connected", [&] { return engine->vms().at(0).link == hotplug::LinkState::connected; });
  }

  /// The state of the device in that port; throws when there is none.
  hotplug::UsbState state(const std::string& port) const {
    for (hotplug::UsbState& each : engine->usb_devices())
      if (each.device.sys_name == port) return each;
    throw std::runtime_error("there is no device in port " + port);
  }
  bool is_there(const std::string& port) const {
    for (const hotplug::UsbState& each : engine->usb_devices())
      if (each.device.sys_name == port) return true;
    return false;
  }
  bool is_in(const std::string& port, const std::string& vm) const { return is_there(port) && state(port).vm == vm; }
  void wait_for(const std::string& port, const std::string& vm) {
    wait_until(fmt::format("{} is in {}", port, vm).c_str(), [&] { return is_in(port, vm); });
  }

  Testbed host;
  std::string root = host.add_root_hub(3);
  TempDir dir;
  asio::io_context io{1};
  hotplug::EngineOptions options;
  hotplug::Config config;
  std::optional<hotplug::Engine> engine;
  bool running = false;
  std::exception_ptr failure;
};

} // namespace test
