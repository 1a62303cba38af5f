// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bounded_queue.hpp"
#include "process.hpp"
#include "vm_files.hpp"
#include "vm_status.hpp"
#include "wakeup.hpp"

#include <qemuctl/instance.hpp>

#include <asio/cancellation_signal.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace qemuctl {

struct StatusSubscription::Queue : detail::BoundedQueue<VmStatus> {
  using BoundedQueue::BoundedQueue;
};

/// What an Instance, its calls in flight and its two background coroutines share.
///
/// `status` has one writer, `set_status`; the background coroutines and `query_status` call it with what QEMU or the
/// kernel reported.
struct Instance::Impl : std::enable_shared_from_this<Instance::Impl> {
  Impl(asio::any_io_executor ex, QmpClient client) : executor(ex), qmp(std::move(client)), status_changed(ex) {}

  /// Asks for the first status and starts the background coroutines. `state_events` was subscribed before connecting.
  asio::awaitable<void> start(EventSubscription state_events);

  /// Ends the background coroutines; the VM keeps running, unless `kill_on_destruction`.
  void detach() noexcept;

  void set_status(VmStatus next);
  bool over() const noexcept { return over_; }
  std::string subject() const;

  /// `QmpClient::execute`, with errors that name the end of the VM if that is the cause.
  asio::awaitable<Json> execute(std::string command, Json arguments = {}, ExecuteOptions options = {});

  /// Asks QEMU; throws on cancellation only, since "no reply" is an answer, too: `unknown`. A QEMU that does not reply
  /// in time is polled, so that subscribers learn when it is back.
  asio::awaitable<void> refresh_status();

  /// Waits for the next change of the status, or the deadline. Throws `errc::disconnected` when the Instance is
  /// destroyed.
  asio::awaitable<void> wait_change(detail::Wakeup::time_point deadline);

  /// True if the VM ended before the deadline. Throws like `wait_change`.
  asio::awaitable<bool> wait_over(detail::Wakeup::time_point deadline);

  [[noreturn]] void fail(std::error_code code, std::string operation, std::string detail, std::string advice) const;

  asio::any_io_executor executor;
  QmpClient qmp;
  std::string name;
  MonitorAddress monitor;
  std::filesystem::path log_file;
  std::string accelerator;
  std::vector<std::string> argv;
  /// Absent if the process is not known. Reset if it ends before QEMU does, since it was a wrapper then; no coroutine
  /// may rely on it across a suspension.
  std::optional<detail::Process> process;
  std::optional<detail::VmFiles> files; ///< of a VM launched here
  std::vector<FileDescriptor> serials;
  std::vector<detail::Process> helpers; ///< they serve QEMU and end with it; they are only reaped here
  bool kill_on_destruction = false;

  VmStatus status;
  detail::Wakeup status_changed;
  std::vector<std::weak_ptr<StatusSubscription::Queue>> subscribers;
  std::uint64_t next_fd_name = 0;

 private:
  asio::awaitable<void> follow_events(EventSubscription events);
  asio::awaitable<void> follow_end();
  asio::awaitable<void> ask_until_answered();
  asio::awaitable<bool> answers();
  asio::awaitable<void> ask_status(std::chrono::milliseconds timeout);
  void finish(VmStatus final);

  std::optional<detail::ShutdownNotice> notice_;
  bool monitor_lost_ = false;
  bool lost_while_alive_ = false;
  bool over_ = false;
  bool detached_ = false;
  bool asking_ = false; ///< `ask_until_answered` is running
  asio::cancellation_signal stop_following_;
};

/// The name of an event that may have changed the run state.
bool changes_run_state(const Event& event);

} // namespace qemuctl
