// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "process.hpp"

#include <qemuctl/qmp_client.hpp>

#include <asio/io_context.hpp>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace test {

/// A running QEMU without a guest, and a private monitor of it. Killed on destruction.
class RunningQemu {
 public:
  RunningQemu(asio::io_context& context, const std::filesystem::path& binary,
              const std::vector<std::string>& arguments);
  ~RunningQemu();
  RunningQemu(const RunningQemu&) = delete;
  RunningQemu& operator=(const RunningQemu&) = delete;

  int pid() const noexcept { return process_->pid(); }
  qemuctl::detail::Process& process() noexcept { return *process_; }
  /// Connected; all the other monitors exist, too.
  qemuctl::QmpClient& qmp() noexcept { return qmp_; }

 private:
  asio::io_context& context_;
  std::optional<qemuctl::detail::Process> process_;
  qemuctl::QmpClient qmp_;
};

} // namespace test
