// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "console.hpp"
#include "line_writer.hpp"
#include "run_hotplug.hpp"
#include "run_options.hpp"

#include <qemuctl/instance.hpp>

#include <asio/awaitable.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/io_context.hpp>
#include <asio/signal_set.hpp>
#include <asio/steady_timer.hpp>

#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace tool {

/// One run of `qemuctl-run`: launches or attaches, then follows the VM to its end. Everything happens on the calling
/// thread.
class Runner {
 public:
  explicit Runner(RunOptions options);

  /// Once. Errors are reported on stderr.
  ExitStatus run();

 private:
  /// Decides what an error and a signal mean.
  enum class Phase { reading, planning, starting, following, ended };

  asio::awaitable<ExitStatus> do_what_was_asked();
  asio::awaitable<ExitStatus> launch();
  asio::awaitable<ExitStatus> attach();
  ExitStatus show_plan(const qemuctl::LaunchPlan& plan);
  asio::awaitable<ExitStatus> follow(std::optional<qemuctl::FileDescriptor> serial);
  asio::awaitable<void> print_events(qemuctl::EventSubscription events);
  asio::awaitable<void> watch_signals();
  asio::awaitable<void> ask_to_shut_down();
  asio::awaitable<void> force();

  RunHotplug::Output hotplug_output();
  void on_signal(int signal);
  void spawn_request(asio::awaitable<void> request);
  void connect_console(qemuctl::FileDescriptor serial);
  void on_console_left();
  void introduce();
  void print_status(const qemuctl::VmStatus& status);
  ExitStatus conclude(const qemuctl::VmStatus& status);
  bool is_wrong_input(const std::error_code& code) const;
  ExitStatus report(const std::exception_ptr& failure);
  void leave();
  void finish();

  bool is_attached() const noexcept { return !options_.vm_file; }

  void print(std::string_view text); ///< what the user asked to see
  void say(std::string_view text);   ///< about this program: "qemuctl-run: text"
  void say_if_verbose(std::string_view text);
  void write_to_stderr(std::string_view text);

  RunOptions options_;
  asio::io_context io_{1};
  LineWriter stdout_;
  LineWriter stderr_;
  asio::signal_set signals_;
  asio::steady_timer patience_; ///< for the guest's shutdown
  RunHotplug hotplug_;
  asio::cancellation_signal cancel_;
  std::optional<Console> console_;
  std::shared_ptr<qemuctl::Instance> vm_;
  qemuctl::VmStatus last_status_;
  std::string last_status_line_;
  ExitStatus exit_status_ = ExitStatus::failed;
  Phase phase_ = Phase::reading;
  int requests_ = 0;      ///< how often the user wanted the VM to end
  bool leaving_ = false;  ///< the user wants this program to end, whatever the VM does
  bool finished_ = false; ///< nothing is waited for any more
};

} // namespace tool
