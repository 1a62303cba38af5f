// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// 04_launch_with_hotplug vm.json rules.json: launches a VM and keeps the USB devices that match the rules attached to
// it until it ends. Ctrl-C ends this program, while the VM keeps running.
#include <hotplug/engine.hpp>
#include <qemuctl/instance.hpp>
#include <qemuctl/vm_config_json.hpp>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/this_coro.hpp>

#include <exception>
#include <iostream>
#include <memory>

asio::awaitable<void> run(const char* vm_file, const char* rules_file) {
  qemuctl::VmConfig config = qemuctl::load_vm_config(vm_file);
  if (!config.hotplug) config.hotplug.emplace(); // an xHCI controller, and ports for PCI devices
  hotplug::Config rules = hotplug::load_rules(rules_file, config.name).config;
  const auto vm = std::make_shared<qemuctl::Instance>(co_await qemuctl::Instance::launch(std::move(config)));
  std::cout << vm->name() << " runs as process " << *vm->pid() << std::endl;

  hotplug::EngineOptions options;
  options.attach_connected = true;
  options.log = [](hotplug::LogLevel level, std::string_view text) {
    if (level != hotplug::LogLevel::debug) std::cout << text << std::endl;
  };
  hotplug::Engine engine(co_await asio::this_coro::executor, std::move(rules), std::move(options));
  engine.add_vm(vm->name(), vm);
  co_await engine.run(); // until the VM has ended
}

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: 04_launch_with_hotplug vm.json rules.json\n";
    return 2;
  }
  int status = 0;
  asio::io_context io(1);
  asio::co_spawn(io, run(argv[1], argv[2]), [&](const std::exception_ptr& failure) {
    try {
      if (failure) std::rethrow_exception(failure);
    } catch (const std::exception& error) {
      std::cerr << error.what() << '\n';
      status = 1;
    }
  });
  io.run();
  return status;
}
