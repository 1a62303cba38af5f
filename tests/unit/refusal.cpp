// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "refusal.hpp"

#include "catch.hpp"

#include <qemuctl/command_line.hpp>
#include <qemuctl/vm_config_json.hpp>

namespace test {

using namespace qemuctl;

QemuInfo some_qemu() {
  QemuInfo qemu;
  qemu.path = "/usr/bin/qemu-system-x86_64";
  qemu.version = {7, 2, 22};
  return qemu;
}

std::string refusal(const std::string& vm_json, const QemuInfo& qemu, errc code) {
  try {
    build_command_line(parse_vm_config(vm_json, "vm.json", "/vm"), qemu, {});
  } catch (const Error& error) {
    CHECK(error.code() == code);
    return error.diagnostics().detail;
  }
  return "not refused";
}

std::vector<std::string> values_of(const std::string& option, const std::string& vm_json, const QemuInfo& qemu) {
  const std::vector<std::string> argv = build_command_line(parse_vm_config(vm_json, "vm.json", "/vm"), qemu, {});
  std::vector<std::string> values;
  for (std::size_t i = 0; i + 1 < argv.size(); ++i)
    if (argv[i] == option) values.push_back(argv[i + 1]);
  return values;
}

} // namespace test
