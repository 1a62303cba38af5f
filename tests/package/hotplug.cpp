// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// A program outside the project that embeds the engine, for a moment. What it keeps at run time goes to the folder
// given.
#include <hotplug/engine.hpp>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>

#include <exception>
#include <iostream>

int main(int argc, char** argv) try {
  if (argc != 2) return 2;
  hotplug::UsbRule rule;
  rule.vms.push_back("vm");
  rule.allow.emplace_back().product_name = "YubiKey.*";
  hotplug::VmEntry vm;
  vm.name = "vm";
  vm.socket = std::string(argv[1]) + "/nobody.sock";
  hotplug::Config config;
  config.usb_rules.push_back(rule);
  config.vms.push_back(vm);
  config.general.persistency = false;
  hotplug::EngineOptions options;
  options.runtime_dir = argv[1];

  asio::io_context io(1);
  hotplug::Engine engine(io.get_executor(), config, options);
  asio::co_spawn(io, engine.run(), [](const std::exception_ptr& failure) {
    if (failure) std::rethrow_exception(failure);
  });
  asio::post(io, [&] { engine.stop(); });
  io.run();
  std::cout << "engine: " << engine.vms().size() << " VM" << std::endl;
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
