// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "process.hpp"

#include <qemuctl/error.hpp>
#include <qemuctl/file_descriptor.hpp>
#include <qemuctl/json.hpp>
#include <qemuctl/qmp_client.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace qemuctl::detail {

/// A QEMU that runs no guest and is only queried, over a private monitor. Killed on destruction.
class QemuProbe {
 public:
  /// Starts `binary` with `arguments`, its CPUs stopped and without default devices, and returns once its main loop
  /// responds. `timeout` covers everything done with it.
  ///
  /// Throws `Error` (`errc::launch_failed`): `detail` says how it ended ("QEMU was killed by signal 6 (Aborted)") and
  /// `server_text` has the last lines it printed.
  static asio::awaitable<QemuProbe> start(std::filesystem::path binary, std::vector<std::string> arguments,
                                          std::chrono::milliseconds timeout);

  QemuProbe(QemuProbe&&) noexcept = default;
  QemuProbe& operator=(QemuProbe&&) = delete;
  ~QemuProbe();

  int pid() const noexcept { return process_->pid(); }

  /// Runs a QMP command. Throws an `Error` like `start`.
  asio::awaitable<Json> execute(std::string command, Json arguments = {});

  /// QEMU's error text for a command; empty if it succeeds. Any other failure is an `Error`.
  asio::awaitable<std::string> refusal(std::string command, Json arguments);

  /// Ends QEMU and waits until it is gone.
  asio::awaitable<void> end();

 private:
  QemuProbe(const asio::any_io_executor& executor, std::filesystem::path binary, std::chrono::milliseconds timeout);

  void spawn(const asio::any_io_executor& executor, std::vector<std::string> argv, FileDescriptor monitor);
  ExecuteOptions within_deadline() const;
  asio::awaitable<void> fail(Error cause);
  std::string printed() const;

  std::filesystem::path binary_;
  std::chrono::milliseconds timeout_;
  std::chrono::steady_clock::time_point deadline_;
  FileDescriptor output_;
  std::unique_ptr<Process> process_; ///< null in a probe that was moved from
  QmpClient qmp_;
};

} // namespace qemuctl::detail
