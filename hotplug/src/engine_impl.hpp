// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bounded_queue.hpp"
#include "choices.hpp"
#include "claims.hpp"
#include "flapping.hpp"
#include "planner.hpp"
#include "process.hpp"
#include "state_file.hpp"
#include "tasks.hpp"
#include "vm_usb.hpp"

#include <hotplug/engine.hpp>
#include <hotplug/udev_source.hpp>
#include <qemuctl/error.hpp>

#include <asio/thread_pool.hpp>
#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace hotplug {

struct NotificationSubscription::Queue : qemuctl::detail::BoundedQueue<Notification> {
  using BoundedQueue::BoundedQueue;
};

namespace detail {

using time_point = std::chrono::steady_clock::time_point;

/// What the engine keeps of a USB device of the host. `state` is what others see.
struct TrackedUsb {
  UsbState state;
  const UsbRule* rule = nullptr; ///< of the engine's rules
  Wish wish;
  Claim claim;
  std::string problem;                   ///< becomes `state.degraded`
  bool busy = false;                     ///< a step for it is on its way
  std::optional<std::string> remembered; ///< the VM that the state file says it is attached to
  bool fresh = false;                    ///< just plugged in, so that nobody can use it yet
  std::uint64_t request = 0;             ///< the latest of people; an earlier one is over
  int failures = 0;                      ///< attempts to attach it that failed, one after the other
  time_point retry_at = time_point::min();
  std::optional<time_point> quarantined_until;
  std::optional<time_point> select_until; ///< how long a person may choose
};

/// What the engine keeps of a VM.
struct TrackedVm {
  TrackedVm(const asio::any_io_executor& executor, Tasks::OnError on_error)
      : tasks(executor, std::move(on_error)), wakeup(executor) {}

  VmEntry entry;
  VmState state;
  std::shared_ptr<qemuctl::Instance> instance; ///< set while it is connected
  bool started = false;                        ///< `entry.auto_start` has been followed
  bool owned = false;                          ///< by `Engine::add_vm`: the engine does not connect to it
  bool hold = false;                           ///< its monitor is not given back
  bool pass_descriptors = false;               ///< its QEMU is another user's
  VmUsb usb;                                   ///< as QEMU showed it last
  bool stale = false;                          ///< `usb` may not be true any more
  bool busy = false;                           ///< a step is on its way
  std::string deleting;                        ///< the qdev that this step deletes; empty: none
  bool wanted = true;                          ///< the engine wants to be connected
  int users = 0;                               ///< of `Engine::connect_vm`
  bool removed = false;                        ///< by a new configuration
  std::optional<time_point> idle_since;
  Tasks tasks;
  qemuctl::detail::Wakeup wakeup; ///< `wanted` has changed
};
using VmPtr = std::shared_ptr<TrackedVm>;

/// An error that was caught where nothing can be awaited.
qemuctl::Error as_error(const std::exception_ptr& caught);

/// While it is there a step is on its way, for that VM and that device; however the step ends.
class Step {
 public:
  Step(std::shared_ptr<Engine::Impl> engine, VmPtr vm, std::string sys_path = {});
  Step(const Step&) = delete;
  Step& operator=(const Step&) = delete;
  ~Step();
  /// The device, if it is still there.
  TrackedUsb* device() const;

 private:
  std::shared_ptr<Engine::Impl> engine_;
  VmPtr vm_;
  std::string sys_path_;
};

} // namespace detail

/// State, and what changes it. Handlers of what happens (`on_...`) and requests write down what is so now and call
/// `changed`; `reconcile` decides what follows. Steps run beside it and end in a handler.
struct Engine::Impl : std::enable_shared_from_this<Engine::Impl> {
  Impl(asio::any_io_executor executor, Config config, EngineOptions options);

  asio::any_io_executor executor;
  EngineOptions options;
  UsbRules rules;
  GeneralConfig general;
  detail::Flapping flapping;
  std::map<std::string, detail::TrackedUsb> devices; ///< by sysfs path
  std::vector<detail::VmPtr> vms;
  std::optional<detail::StateFile> file;
  detail::Choices choices;
  bool choices_changed = false, saving = false;
  asio::thread_pool disk{1}; ///< waits for the disk
  UdevSource udev;
  bool looked = false;  ///< udev has told what there is
  bool leaving = false; ///< everything is to be detached
  bool stopped = false, running = false;
  bool dirty = false; ///< something has changed since the last reconciliation began
  std::exception_ptr failure;
  std::uint32_t next_id;
  std::vector<std::weak_ptr<NotificationSubscription::Queue>> subscribers;
  detail::Tasks tasks;
  qemuctl::detail::Wakeup wakeup;  ///< the engine: something has changed
  qemuctl::detail::Wakeup settled; ///< requests: a reconciliation has ended

  template<typename... Args>
  void log(LogLevel level, fmt::format_string<Args...> format, Args&&... args) const {
    if (options.log) options.log(level, fmt::format(format, std::forward<Args>(args)...));
  }
  void changed();
  void publish(const Notification& notification);
  void add(VmEntry entry);
  detail::VmPtr find_vm(const std::string& name) const;
  bool all_ended() const;

  // engine.cpp
  asio::awaitable<void> run();
  asio::awaitable<void> follow_udev();
  void on_event(UsbEvent event);
  void on_arrived(UsbDevice device, bool plugged);
  void on_removed(const std::string& sys_path);
  void apply_rules(detail::TrackedUsb& device);
  /// What is remembered of this device, to be changed and saved.
  detail::Choice& choice_of(const UsbDevice& device);
  void save_choices();
  asio::awaitable<void> write_choices(detail::Choices copy);

  // engine_reconcile.cpp
  /// Starts what can be started now. When to look again at the latest.
  detail::time_point reconcile();
  /// Brings `state` up to date, tells of the difference, and remembers what is to outlive the engine.
  void show(detail::TrackedUsb& device, const detail::Holding* holding);
  void start_detach(const detail::VmPtr& vm, const detail::Detach& step);
  void start_attach(const detail::VmPtr& vm, detail::TrackedUsb& device);
  asio::awaitable<void> attach(detail::VmPtr vm, std::string sys_path, detail::AttachRequest request);
  asio::awaitable<void> detach(detail::VmPtr vm, std::string qdev, std::string sys_path);
  asio::awaitable<void> look_again(detail::VmPtr vm);
  void on_attach_failed(detail::TrackedVm& vm, const std::string& sys_path, const std::exception_ptr& failed);

  // engine_requests.cpp
  /// The device, unless nobody may ask anything of it.
  detail::TrackedUsb& requested(const std::string& sys_path, const char* operation);
  asio::awaitable<void> request_attach(std::string sys_path, std::string vm_name);
  asio::awaitable<void> request_detach(std::string sys_path);
  asio::awaitable<void> request_detach_all();

  // engine_use.cpp
  asio::awaitable<std::shared_ptr<qemuctl::Instance>> request_connection(std::string name);
  asio::awaitable<int> request_start(std::string name);

  // engine_vms.cpp
  asio::awaitable<void> serve(detail::VmPtr vm);
  asio::awaitable<void> connect(detail::VmPtr vm);
  asio::awaitable<std::shared_ptr<qemuctl::Instance>> start_vm(detail::VmPtr vm);
  asio::awaitable<void> follow_events(detail::VmPtr vm, qemuctl::EventSubscription events);
  asio::awaitable<void> watch_end(detail::VmPtr vm, qemuctl::detail::Process process);
  void on_connected(const detail::VmPtr& vm, detail::VmUsb usb);
  void on_ended(detail::TrackedVm& vm);
  void disconnect(detail::TrackedVm& vm, LinkState link, std::string problem);
  void set_link(detail::TrackedVm& vm, LinkState link, std::string problem = {});
};

} // namespace hotplug
