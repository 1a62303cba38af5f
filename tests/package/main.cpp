// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// A program outside the project that launches a VM. Its sockets go to the folder given.
#include <qemuctl/blocking.hpp>

#include <chrono>
#include <iostream>

int main(int argc, char** argv) try {
  if (argc != 2) return 2;
  qemuctl::VmConfig config;
  config.name = "package";
  config.socket_dir = argv[1];
  config.memory.size_mib = 64;
  config.machine.accel = "tcg";

  auto vm = qemuctl::blocking::Instance::launch(config);
  std::cout << vm.name() << ": " << to_string(vm.query_status().state) << std::endl;
  vm.quit();
  const auto end = vm.wait_for(std::chrono::seconds(20));
  if (!end) {
    vm.force_stop();
    return 1;
  }
  std::cout << vm.name() << ": " << to_string(end->state) << std::endl;
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
