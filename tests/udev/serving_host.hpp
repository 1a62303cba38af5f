// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "engine_host.hpp"

#include <asio/cancellation_signal.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace test {

/// A host with an engine and a server that is beside it, in whatever protocol.
class ServingHost : public EngineHost {
 public:
  ServingHost();

  /// What the server has logged.
  std::vector<std::string> log;
  /// Lines of it that begin with "audit:".
  std::vector<std::string> audit() const;
  /// Whether a line of it has this in it.
  bool logged(std::string_view text) const;

 protected:
  ~ServingHost();
  /// Starts the engine, and connects it to its VMs that run.
  void start_engine();
  /// Begins what runs until `stop_serving`.
  void serve(asio::awaitable<void> work);
  void stop_serving();
  hotplug::LogHandler log_handler();

 private:
  asio::cancellation_signal stop_;
  bool serving_ = false;
};

} // namespace test
