// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "temp_dir.hpp"

#include <qemuctl/instance.hpp>

#include <filesystem>
#include <string>
#include <vector>

namespace test {

/// A VM without a guest, in its own folder. TCG, so that it is the same everywhere.
inline qemuctl::VmConfig small_vm(const std::filesystem::path& qemu, const TempDir& dir, std::string name = "vm") {
  qemuctl::VmConfig config;
  config.name = std::move(name);
  config.qemu_path = qemu.string();
  config.socket_dir = dir.path().string();
  config.machine.accel = "tcg";
  config.memory.size_mib = 64;
  return config;
}

/// Launch options for a VM that does not outlive the test.
inline qemuctl::LaunchOptions for_test() {
  qemuctl::LaunchOptions options;
  options.kill_on_destruction = true;
  return options;
}

/// Words as a vector. Not an initializer list, which GCC 12 cannot keep in a coroutine's frame.
template<class... Words>
std::vector<std::string> words(const Words&... list) {
  std::vector<std::string> result;
  (result.push_back(list), ...);
  return result;
}

/// The next status that `wanted` accepts; throws when the VM ends or the deadline passes first.
template<class Predicate>
asio::awaitable<qemuctl::VmStatus> status_where(qemuctl::StatusSubscription& changes, Predicate wanted) {
  for (;;) {
    const auto status = co_await changes.next(std::chrono::seconds(20));
    if (!status) throw std::runtime_error("the VM ended before the status that was waited for");
    if (wanted(*status)) co_return *status;
  }
}

inline asio::awaitable<qemuctl::VmStatus> status_with(qemuctl::StatusSubscription& changes, qemuctl::State state) {
  return status_where(changes, [state](const qemuctl::VmStatus& status) { return status.state == state; });
}

} // namespace test
