// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "machine.hpp"

#include "skip.hpp"

#include <qemuctl/qemu_info.hpp>

#include <unistd.h>

#include <cstdlib>
#include <sstream>
#include <string>

namespace fs = std::filesystem;

namespace {

constexpr const char* binary_name = "qemu-system-x86_64";

std::vector<std::string> split_at_colons(const char* text) {
  std::vector<std::string> parts;
  std::istringstream stream(text ? text : "");
  for (std::string part; std::getline(stream, part, ':');)
    if (!part.empty()) parts.push_back(part);
  return parts;
}

bool is_executable(const fs::path& path) {
  return access(path.c_str(), X_OK) == 0;
}

fs::path find_in_path(const std::string& program) {
  for (const auto& folder : split_at_colons(std::getenv("PATH")))
    if (auto path = fs::path(folder) / program; is_executable(path)) return path;
  return {};
}

std::vector<fs::path> find_qemus() {
  std::vector<fs::path> found;
  if (const char* given = std::getenv("QEMUCTL_TEST_QEMUS")) {
    for (const auto& path : split_at_colons(given)) found.emplace_back(path);
    return found;
  }
  if (const auto path = find_in_path(binary_name); !path.empty()) found.push_back(path);
  if (const auto path = fs::path(QEMUCTL_TEST_MACHINE_DIR) / "qemu10/usr/bin" / binary_name; is_executable(path))
    found.push_back(path);
  return found;
}

} // namespace

namespace test {

const std::vector<fs::path>& qemus() {
  static const auto found = find_qemus();
  if (found.empty()) skip("no qemu-system-x86_64 in $PATH: tools/setup installs it");
  return found;
}

fs::path qemu_for(const std::string& arch) {
  const std::string name = qemuctl::qemu_binary_name(arch);
  auto path = find_in_path(name);
  if (path.empty()) skip("no " + name + " in $PATH: tools/setup installs that for arm64");
  return path;
}

DemoGuest demo_guest() {
  const char* given = std::getenv("QEMUCTL_DEMO_GUEST");
  const auto folder = given ? fs::path(given) : fs::path(QEMUCTL_TEST_MACHINE_DIR) / "demo-guest";
  DemoGuest guest{folder / "vmlinuz", folder / "initrd.img"};
  if (!fs::exists(guest.kernel) || !fs::exists(guest.initrd))
    skip("there is no demo guest in " + folder.string() + ": tools/demo-guest makes it");
  return guest;
}

HostInAVm host_in_a_vm() {
  const char* given = std::getenv("QEMUCTL_HOST_IN_A_VM");
  const auto folder = given ? fs::path(given) : fs::path(QEMUCTL_TEST_MACHINE_DIR) / "host-in-a-vm";
  std::error_code missing;
  HostInAVm host{folder / "vmlinuz", folder / "initrd.img", fs::canonical(folder / "modules", missing)};
  if (missing || !fs::exists(host.kernel) || !fs::exists(host.initrd))
    skip("there is no host in a VM in " + folder.string() + ": tools/host-in-a-vm makes it");
  return host;
}

} // namespace test
