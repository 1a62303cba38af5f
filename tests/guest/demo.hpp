// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// VMs with the demo guest, and typing into them.
#pragma once

#include "machine.hpp"
#include "temp_dir.hpp"

#include <qemuctl/instance.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/posix/stream_descriptor.hpp>

#include <chrono>
#include <filesystem>
#include <string>

namespace test {

/// A guest boots in 2 s on an idle machine, and takes many times that when all tests run at once.
constexpr std::chrono::seconds patience{150};

/// A VM with the demo guest and a serial port, with its files in `dir`. TCG.
qemuctl::VmConfig demo_vm(const std::filesystem::path& qemu, const TempDir& dir, std::string name = "demo");

/// For a VM that does not outlive the test and whose serial port becomes a `SerialConsole`.
qemuctl::LaunchOptions with_console();

/// The guest's serial console. Its output is read only during a wait.
class SerialConsole {
 public:
  SerialConsole(asio::any_io_executor executor, qemuctl::Instance& vm) : port_(executor, vm.take_serial(0).release()) {}

  /// Waits until the guest has written `text`, and returns what came before it since the last call.
  asio::awaitable<std::string> until(std::string text);
  asio::awaitable<void> type(std::string text);
  /// Waits for the shell's prompt.
  asio::awaitable<void> prompt();
  /// Runs a line in the shell and returns what it printed.
  asio::awaitable<std::string> run(std::string line);

 private:
  asio::posix::stream_descriptor port_;
  std::string seen_;
};

} // namespace test
