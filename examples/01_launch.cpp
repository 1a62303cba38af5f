// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include <qemuctl/blocking.hpp>
#include <qemuctl/vm_config_json.hpp>

#include <iostream>

int main(int argc, char** argv) try {
  qemuctl::VmConfig config = qemuctl::load_vm_config(argc > 1 ? argv[1] : "vm.json");
  config.memory.size_mib = 512; // a program can set anything that vm.json can

  auto vm = qemuctl::blocking::Instance::launch(config);
  std::cout << vm.name() << " is " << to_string(vm.state()) << " as process " << *vm.pid() << ". Enter ends it.\n";
  std::cin.get();
  std::cout << "It has ended: " << to_string(vm.stop(std::chrono::seconds(30))) << '\n';
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
