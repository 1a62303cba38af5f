// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bounded_queue.hpp"
#include "choices.hpp"
#include "claims.hpp"
#include "flapping.hpp"
#include "loans.hpp"
#include "planner.hpp"
#include "process.hpp"
#include "state_file.hpp"
#include "tasks.hpp"
#include "usb_authorization.hpp"
#include "vm_devices.hpp"

#include <hotplug/engine.hpp>
#include <hotplug/udev_source.hpp>
#include <qemuctl/error.hpp>

#include <asio/thread_pool.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace hotplug {

struct NotificationSubscription::Queue : qemuctl::detail::BoundedQueue<Notification> {
  using BoundedQueue::BoundedQueue;
};

namespace detail {

using time_point = std::chrono::steady_clock::time_point;

/// Throws the error for a request that is refused.
[[noreturn]] void refuse(qemuctl::errc code, const char* operation, std::string subject, std::string detail,
                         std::string advice = {});

/// The devices that the host may use, as a rule, so that they are matched like any others.
UsbRules rules_for(const UsbAuthorization& authorization);

/// Why a device is not where it should be; no text: it is.
struct Problem {
  Problem() = default;
  Problem(ProblemKind of_kind, std::string words)
      : kind(words.empty() ? ProblemKind::none : of_kind), text(std::move(words)) {}
  /// From an error of QEMU or the operating system.
  explicit Problem(const qemuctl::Error& error);

  bool empty() const noexcept { return text.empty(); }
  void clear() { *this = {}; }

  ProblemKind kind = ProblemKind::none;
  std::string text;
};

/// A device that the kernel did not release; it is left alone for a while.
struct KeptBack {
  time_point until;
  Problem why;
};

/// The engine's record of a host device. `state` is the part that others see.
struct TrackedDevice {
  DeviceState state;
  Wish wish;
  Claim claim;
  Problem problem;                       ///< becomes `state.degraded`
  bool busy = false;                     ///< a step for it is in progress
  std::optional<std::string> remembered; ///< the VM that it is attached to according to the state file
  std::string stays;                     ///< why it stays with the host although a rule matches; else empty
  std::optional<Loan> loan;              ///< the driver to return it to
  /// Until then it stays with vfio-pci because a VM is about to start with it.
  std::optional<time_point> promised_until;
  std::optional<KeptBack> kept_back;
  /// Until then the last probe, which found that the kernel uses none of its disks, counts.
  time_point probed_until = time_point::min();
  bool stuck = false;                       ///< the helper that was to change its driver hangs in the kernel
  bool return_failed = false;               ///< the last attempt to return it to its driver failed
  time_point return_at = time_point::min(); ///< earliest time of the next attempt to return it
  /// A process still has its group open, but may be about to end: how long that is waited for.
  std::optional<time_point> closing_until;
  bool plugged = false;                        ///< plugged in since the engine started
  bool was_in_vm = false;                      ///< has been in a VM since then
  time_point authorize_at = time_point::min(); ///< earliest time of the next change of its authorisation
  bool fresh = false;                          ///< just plugged in, so nobody can be using it yet
  std::uint64_t request = 0;                   ///< number of the user's latest request; it supersedes earlier ones
  int failures = 0;                            ///< consecutive failed attempts to attach it
  time_point retry_at = time_point::min();
  std::optional<time_point> quarantined_until;
  std::optional<time_point> select_until; ///< how long the user may choose

  /// Something has changed, so failed attempts may succeed now.
  void try_at_once() {
    failures = 0;
    retry_at = time_point::min();
    kept_back.reset();
    probed_until = time_point::min();
  }
};

/// The VM that a device was in when it was unplugged.
struct Departure {
  std::string vm;
  time_point when;
};

/// A request to a guest to release a device.
struct Unplug {
  time_point asked;    ///< when it was last asked
  bool late = false;   ///< the guest did not answer in time
  std::string refused; ///< QEMU's message if it did not pass the request on
};

/// The engine's record of a VM.
struct TrackedVm {
  TrackedVm(const asio::any_io_executor& executor, Tasks::OnError on_error)
      : tasks(executor, std::move(on_error)), wakeup(executor) {}

  VmEntry entry;
  VmState state;
  std::shared_ptr<qemuctl::Instance> instance;  ///< set while it is connected
  bool started = false;                         ///< `entry.auto_start` has been carried out
  bool owned = false;                           ///< given by `Engine::add_vm`: the program keeps it connected
  bool hold = false;                            ///< its monitor is not yielded
  bool pass_descriptors = false;                ///< its QEMU runs as another user
  VmDevices has;                                ///< its devices as QEMU last reported them
  bool stale = false;                           ///< `has` may be out of date
  std::optional<int> watched;                   ///< PID of the process whose end is watched
  bool busy = false;                            ///< a step is in progress
  std::map<std::string, Unplug> unplugs;        ///< by qdev: requests to the guest to release it
  time_point booting_until = time_point::min(); ///< its guest may miss devices until then
  std::map<std::string, time_point> to_verify;  ///< by qdev: when to check that the guest has noticed it
  std::set<std::string> missed;                 ///< the qdevs that it has not noticed
  std::string deleting;                         ///< the qdev being deleted; empty: none
  bool wanted = true;                           ///< the engine wants to be connected
  int users = 0;                                ///< of `Engine::connect_vm`
  bool removed = false;                         ///< by a reload
  std::optional<time_point> idle_since;

  /// A step may start, and `has` is up to date.
  bool is_free() const { return state.link == LinkState::connected && !busy && !stale; }

  Tasks tasks;
  qemuctl::detail::Wakeup wakeup; ///< `wanted` or the configuration has changed
};
using VmPtr = std::shared_ptr<TrackedVm>;

/// Retries up to this pause are for devices that are still settling, which takes fractions of a second; what takes
/// longer needs a user.
constexpr std::chrono::milliseconds longest_quick_pause{2'000};

/// One reconciliation.
struct Round {
  const time_point now = std::chrono::steady_clock::now();
  time_point next = time_point::max(); ///< when to reconcile again at the latest
  std::set<std::string> at_work;       ///< VMs with something to do, now or soon

  void wake(time_point when) { next = std::min(next, when); }
};

/// Marks a VM and a device, either of which may be missing, as busy for as long as it exists, however the step ends.
/// Created before the task that it is moved into, which starts later.
class Step {
 public:
  Step(std::shared_ptr<Engine::Impl> engine, VmPtr vm, std::string sys_path = {});
  Step(Step&&) noexcept = default;
  Step& operator=(Step&&) = delete;
  ~Step();
  const VmPtr& vm() const noexcept { return vm_; }
  /// The device, if it is still there.
  TrackedDevice* device() const;

 private:
  std::shared_ptr<Engine::Impl> engine_;
  VmPtr vm_;
  std::string sys_path_;
};

} // namespace detail

/// The state, and everything that changes it. Event handlers (`on_...`) and requests record what has happened and call
/// `changed`; `reconcile` decides what to do about it. Steps run concurrently and end in a handler.
struct Engine::Impl : std::enable_shared_from_this<Engine::Impl> {
  Impl(asio::any_io_executor executor, Config config, EngineOptions options);

  asio::any_io_executor executor;
  EngineOptions options;
  Rules rules;
  std::vector<AcpiRule> acpi_rules;
  UsbAuthorization authorization;
  UsbRules host_rules; ///< of `authorization`
  detail::AuthorizationJournal authorization_journal;
  detail::Claim authorization_claim;
  bool restoring = false; ///< the previous authorisation is being restored
  GeneralConfig general;
  detail::Flapping flapping;
  detail::Loans loans;
  std::map<std::string, detail::TrackedDevice> devices; ///< by sysfs path
  /// By connector, for a moment: a device that reappears there in another mode is still the same one.
  std::map<std::string, detail::Departure> departures;
  std::vector<detail::VmPtr> vms;
  std::set<std::string> expected; ///< VMs that are about to start, whether or not they are in `vms`
  std::optional<detail::StateFile> file;
  detail::Choices choices;
  bool choices_changed = false, saving = false;
  asio::thread_pool disk{1}; ///< for blocking writes
  UdevSource udev;
  bool looked = false;  ///< the first snapshot from udev has arrived
  bool leaving = false; ///< everything is to be detached
  bool stopped = false, running = false;
  bool dirty = false; ///< something has changed since the last reconciliation started
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
  /// `instance`: a VM that the program has connected; nullptr: the engine connects to it.
  void add(VmEntry entry, std::shared_ptr<qemuctl::Instance> instance = nullptr);
  detail::VmPtr find_vm(const std::string& name) const;
  /// The VMs of the device's rule that exist.
  std::vector<std::string> known_vms(const detail::TrackedDevice& device) const;
  bool all_ended() const;
  /// No device is left that could be returned to its driver.
  bool all_returned() const;

  // engine.cpp
  asio::awaitable<void> run();
  /// At the end: leaves no device without a driver that the host can use.
  asio::awaitable<void> give_back_rest();
  asio::awaitable<void> follow_udev();
  /// A device that was refused because it was mounted may be free now.
  asio::awaitable<void> follow_mounts();
  void on_event(DeviceEvent event);
  void on_arrived(Device device, bool plugged);
  void on_removed(const std::string& sys_path);
  /// The VM of the device that was at that connector a moment ago; nullopt: none. Forgets it.
  std::optional<std::string> departed_from(const std::string& connector);
  void apply_rules(detail::TrackedDevice& device);
  /// The remembered choice for this device, to be changed and saved.
  detail::Choice& choice_of(const Device& device);
  void save_choices();
  asio::awaitable<void> write_choices(detail::Choices copy);

  // engine_reload.cpp
  void apply_vms(std::vector<VmEntry> entries);
  void apply_general(GeneralConfig fresh);
  void apply_authorization(UsbAuthorization fresh, UsbRules fresh_rules);

  // engine_reconcile.cpp
  /// Starts what can be started now; returns when to reconcile again at the latest.
  detail::time_point reconcile();
  /// Where each device should be.
  std::vector<detail::PlannedDevice> follow_wishes(detail::Round& round);
  /// The devices of each VM, as far as its guest has noticed them.
  std::vector<detail::PlannedVm> planned_vms() const;
  void follow_detach(const detail::Detach& step, detail::Round& round);
  void follow_attach(const detail::Attach& step, detail::Round& round);
  /// Connects a monitor that is needed, yields one that is not.
  void follow_monitor(const detail::VmPtr& vm, detail::Round& round);
  /// Starts the checks of `to_verify` that are due.
  void follow_missed(const detail::VmPtr& vm, detail::Round& round);
  /// Updates `state`, publishes the difference, and saves what must outlive the engine.
  void show(detail::TrackedDevice& device, const detail::Holding* holding);
  /// Whether an earlier request to the guest to release it is still pending; if not, `start_detach` asks.
  bool awaits_guest(detail::TrackedVm& vm, const detail::Detach& step, detail::Round& round);

  // engine_steps.cpp
  void start_detach(const detail::VmPtr& vm, const detail::Detach& step);
  void start_attach(const detail::VmPtr& vm, detail::TrackedDevice& device);
  /// How to attach the device, according to its rule.
  detail::AttachRequest attach_request(const detail::TrackedVm& vm, const detail::TrackedDevice& device);
  asio::awaitable<void> attach(detail::Step step, detail::AttachRequest request);
  asio::awaitable<void> detach(detail::Step step, detail::Qdev qdev);
  asio::awaitable<void> look_again(detail::Step step);
  asio::awaitable<void> verify(detail::Step step, std::string id);
  void on_attach_failed(detail::TrackedVm& vm, detail::TrackedDevice* device, const qemuctl::Error& error);

  /// Records a failed attempt to attach the device and sets when to try again.
  void note_failure(detail::TrackedDevice& device);

  // engine_pci.cpp
  /// For all PCI devices at once: each depends on the others in its IOMMU group.
  void apply_pci_rules();
  /// Whether its rule says `force`.
  bool is_forced(const detail::TrackedDevice& device) const;
  /// What the host uses the device for; empty: nothing, or its rule says `force`.
  detail::Problem host_use(const detail::TrackedDevice& device) const;
  /// Claims the device and reads its loan again; empty on success, else which engine has it. Throws `qemuctl::Error`.
  detail::Problem take_claim(detail::TrackedDevice& device, const std::string& for_whom);
  /// The virtual functions that would vanish with the driver of a card; empty: it has none, or nobody uses them and its
  /// rule says `force`.
  detail::Problem virtual_function_use(const detail::TrackedDevice& device) const;
  /// Why a device that is in no VM cannot be taken from the host now; empty: it can, and is claimed.
  detail::Problem take_obstacle(const std::string& vm, detail::TrackedDevice& device);
  /// True: a probe whether the kernel uses its disks has been started, and the device is busy.
  bool start_probe(detail::TrackedDevice& device);
  asio::awaitable<void> probe(detail::Step step, std::vector<std::string> nodes);
  /// Leaves a device alone for a while that the kernel did not release; `problem` says why.
  void keep_back(detail::TrackedDevice& device, detail::Problem problem);
  /// True: the device can be attached now. Otherwise its preparation has been started, or its `problem` says what
  /// prevents it.
  bool prepare_pci(const std::string& vm, std::optional<int> pid, detail::TrackedDevice& device);
  asio::awaitable<void> lend(detail::Step step);
  /// Returns devices that no VM has or is about to get to their drivers. `next`: when to look again at the latest.
  void give_back_unused(const std::set<std::string>& held, detail::time_point now, detail::time_point& next);
  void start_give_back(detail::TrackedDevice& device, detail::time_point now);
  asio::awaitable<void> give_back(detail::Step step);
  void after_driver_change(detail::TrackedDevice& device, std::optional<qemuctl::detail::Process> stuck);
  void note_stuck(detail::TrackedDevice& device, std::optional<qemuctl::detail::Process> stuck);
  asio::awaitable<void> watch_stuck(std::string sys_path, qemuctl::detail::Process process);

  // engine_authorization.cpp
  /// Stops the kernel from authorising devices by itself, or undoes that, according to the configuration.
  void begin_authorization();
  void take_over_hub(const std::string& root_hub);
  void on_hub(const UsbHub& hub);
  asio::awaitable<void> authorize_hub(std::string sys_name);
  /// The problem; empty on success.
  asio::awaitable<std::string> write_authorization(std::string sys_name, bool authorized);
  std::optional<bool> authorization_of(const detail::TrackedDevice& device) const;
  /// Authorises or deauthorises devices that are in no VM.
  void follow_authorization(detail::time_point now, detail::time_point& next);
  asio::awaitable<void> authorize(detail::Step step, bool wanted);
  asio::awaitable<void> restore_authorization();

  // engine_requests.cpp
  /// Waits until `ended` returns true. It is called after each reconciliation and, with `late` set, from the deadline
  /// on; it throws the error that the request fails with.
  asio::awaitable<void> wait_for(detail::time_point deadline, std::function<bool(bool late)> ended);
  /// The device of a request. Throws if there is none or it cannot be moved.
  detail::TrackedDevice& requested(const std::string& sys_path, const char* operation);
  asio::awaitable<void> request_attach(std::string sys_path, std::string vm_name, std::string rom_file);
  asio::awaitable<void> request_detach(std::string sys_path);
  asio::awaitable<void> request_detach_all();

  // engine_use.cpp
  asio::awaitable<std::shared_ptr<qemuctl::Instance>> request_connection(std::string name);
  asio::awaitable<int> request_start(std::string name);
  asio::awaitable<void> request_suspend(DeviceKind kind, std::string vm);
  asio::awaitable<void> request_resume(DeviceKind kind, std::string vm);

  // engine_start.cpp
  /// The devices that a VM of that name can start with.
  std::set<std::string> devices_for_start(const std::string& vm) const;
  /// What prevents one of those devices from being ready for the VM's start; empty: nothing. Continues their
  /// preparation; `waits_for` is one that is not ready yet.
  std::string start_obstacle(const std::string& vm, const std::set<std::string>& paths, std::string& waits_for);
  asio::awaitable<StartArguments> request_start_arguments(std::string vm, StartOptions how);
  asio::awaitable<qemuctl::VmConfig> with_start_devices(qemuctl::VmConfig config);
  /// The VM did not start: its devices are no longer kept for it.
  void release_start_devices(const std::string& vm);

  // engine_connect.cpp
  asio::awaitable<void> connect(detail::VmPtr vm);
  /// Launches it from its vm.json, with the devices that it starts with. Throws `qemuctl::Error`.
  asio::awaitable<qemuctl::Instance> launch_vm(detail::VmPtr vm);
  asio::awaitable<std::shared_ptr<qemuctl::Instance>> start_vm(detail::VmPtr vm);

  // engine_vms.cpp
  asio::awaitable<void> serve(detail::VmPtr vm);
  asio::awaitable<void> follow_events(detail::VmPtr vm, qemuctl::EventSubscription events);
  asio::awaitable<void> follow_status(detail::VmPtr vm, qemuctl::StatusSubscription statuses);
  asio::awaitable<void> watch_end(detail::VmPtr vm, qemuctl::detail::Process process);
  void on_connected(const detail::VmPtr& vm, detail::VmDevices has);
  /// QEMU has reported the VM's devices.
  void on_seen(detail::TrackedVm& vm, detail::VmDevices has);
  void on_ended(detail::TrackedVm& vm);
  /// Its QEMU is gone, and so are the devices it had.
  void forget_guest(detail::TrackedVm& vm);
  void disconnect(detail::TrackedVm& vm, LinkState link, std::string problem);
  void set_link(detail::TrackedVm& vm, LinkState link, std::string problem = {});
  void set_status(detail::TrackedVm& vm, qemuctl::VmStatus status);
};

} // namespace hotplug
