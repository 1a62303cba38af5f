// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace tool {

/// What the user typed: `config`, or `pid` and `rules`.
struct DaemonOptions {
  std::optional<std::filesystem::path> config;
  std::optional<int> pid;
  std::optional<std::filesystem::path> rules;
  bool attach_connected = false;
  bool debug = false;
  bool detach_on_exit = false;
  bool check = false;
  std::string explain; ///< a device

  const std::filesystem::path& file() const { return config ? *config : *rules; }
};

/// Runs `qemuctl-hotplugd` to its end. The exit status. Throws what it could not go on after.
int run_daemon(DaemonOptions options);

} // namespace tool
