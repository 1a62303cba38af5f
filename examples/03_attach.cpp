// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// 03_attach PID|SOCKET: attaches to a running QEMU, whoever started it, and queries it. The VM keeps running
// undisturbed.
#include <qemuctl/blocking.hpp>

#include <algorithm>
#include <cctype>
#include <iostream>
#include <string>

qemuctl::blocking::Instance attach(const std::string& target) {
  const bool is_pid = std::all_of(target.begin(), target.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
  return is_pid ? qemuctl::blocking::Instance::attach_by_pid(std::stoi(target))
                : qemuctl::blocking::Instance::attach(qemuctl::parse_monitor_address(target));
}

int main(int argc, char** argv) try {
  if (argc != 2) {
    std::cerr << "usage: 03_attach PID|SOCKET\n";
    return 2;
  }
  qemuctl::blocking::Instance vm = attach(argv[1]);
  const qemuctl::QmpGreeting qemu = vm.qemu();
  std::cout << vm.name() << " at " << to_string(vm.monitor()) << " is " << to_string(vm.query_status().state)
            << "\nQEMU " << qemu.major << '.' << qemu.minor << '.' << qemu.micro << '\n';

  // Any QMP command works; these have no function of their own.
  const qemuctl::Json cpus = vm.execute("query-cpus-fast");
  const qemuctl::Json memory = vm.execute("query-memory-size-summary");
  std::cout << cpus.size() << " CPUs, " << memory.at("base-memory").as_uint() / (1024 * 1024) << " MiB\n";

  for (const qemuctl::BlockDevice& disk : vm.query_block())
    std::cout << "disk " << disk.id << ": " << (disk.inserted ? disk.file : "no medium") << '\n';
  std::cout << vm.human_monitor_command("info version");
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
