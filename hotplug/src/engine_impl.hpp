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

/// Throws the refusal of what somebody asked for.
[[noreturn]] void refuse(qemuctl::errc code, const char* operation, std::string subject, std::string detail,
                         std::string advice = {});

/// What the host may use, as one rule, so that its conditions can be asked like others.
UsbRules rules_for(const UsbAuthorization& authorization);

/// Why a device is not where it is to be; without a text: it is.
struct Problem {
  Problem() = default;
  Problem(ProblemKind of_kind, std::string words)
      : kind(words.empty() ? ProblemKind::none : of_kind), text(std::move(words)) {}
  /// What QEMU or the operating system refused.
  explicit Problem(const qemuctl::Error& error);

  bool empty() const noexcept { return text.empty(); }
  void clear() { *this = {}; }

  ProblemKind kind = ProblemKind::none;
  std::string text;
};

/// A device that the kernel did not let go of: it is left alone for a while.
struct KeptBack {
  time_point until;
  Problem why;
};

/// What the engine keeps of a device of the host. `state` is what others see.
struct TrackedDevice {
  DeviceState state;
  Wish wish;
  Claim claim;
  Problem problem;                       ///< becomes `state.degraded`
  bool busy = false;                     ///< a step for it is on its way
  std::optional<std::string> remembered; ///< the VM that the state file says it is attached to
  std::string stays;                     ///< why it stays with the host although a rule matches; empty: it does not
  std::optional<Loan> loan;              ///< the driver that it is to be given back to
  /// Until then it stays with the driver for VMs, because one is about to start with it.
  std::optional<time_point> promised_until;
  std::optional<KeptBack> kept_back;
  /// Until then it is taken for granted that the kernel uses none of its disks.
  time_point probed_until = time_point::min();
  bool stuck = false;                       ///< the kernel keeps a process that was to change its driver
  bool return_failed = false;               ///< the latest attempt to give it back
  time_point return_at = time_point::min(); ///< when it may be given back to that driver, at the earliest
  /// Since when a process still has its group open that is to be given back: until then it may be about to end.
  std::optional<time_point> closing_until;
  bool plugged = false;                        ///< since the engine began
  bool was_in_vm = false;                      ///< likewise
  time_point authorize_at = time_point::min(); ///< whether the host may use it is changed then, at the earliest
  bool fresh = false;                          ///< just plugged in, so that nobody can use it yet
  std::uint64_t request = 0;                   ///< the latest of people; an earlier one is over
  int failures = 0;                            ///< attempts to attach it that failed, one after the other
  time_point retry_at = time_point::min();
  std::optional<time_point> quarantined_until;
  std::optional<time_point> select_until; ///< how long a person may choose

  /// What failed before may be possible now.
  void try_at_once() {
    failures = 0;
    retry_at = time_point::min();
    kept_back.reset();
    probed_until = time_point::min();
  }
};

/// The VM that a device was in when it went.
struct Departure {
  std::string vm;
  time_point when;
};

/// A request to a guest to let go of a device.
struct Unplug {
  time_point asked;    ///< the last time
  bool late = false;   ///< it has not been answered in time
  std::string refused; ///< QEMU's words, when it did not pass the request on
};

/// What the engine keeps of a VM.
struct TrackedVm {
  TrackedVm(const asio::any_io_executor& executor, Tasks::OnError on_error)
      : tasks(executor, std::move(on_error)), wakeup(executor) {}

  VmEntry entry;
  VmState state;
  std::shared_ptr<qemuctl::Instance> instance;  ///< set while it is connected
  bool started = false;                         ///< `entry.auto_start` has been followed
  bool owned = false;                           ///< by `Engine::add_vm`: the engine does not connect to it
  bool hold = false;                            ///< its monitor is not given back
  bool pass_descriptors = false;                ///< its QEMU is another user's
  VmDevices has;                                ///< as QEMU showed it last
  bool stale = false;                           ///< `has` may not be true any more
  std::optional<int> watched;                   ///< the PID of the process whose end is waited for
  bool busy = false;                            ///< a step is on its way
  std::map<std::string, Unplug> unplugs;        ///< by qdev: what the guest was asked to let go of
  time_point booting_until = time_point::min(); ///< its guest may miss what is plugged in
  std::map<std::string, time_point> to_verify;  ///< by qdev: when it is asked whether the guest has noticed it
  std::set<std::string> missed;                 ///< the qdevs that it has not
  std::string deleting;                         ///< the qdev that this step deletes; empty: none
  bool wanted = true;                           ///< the engine wants to be connected
  int users = 0;                                ///< of `Engine::connect_vm`
  bool removed = false;                         ///< by a new configuration
  std::optional<time_point> idle_since;

  /// A step may begin, and what it is for is as QEMU shows it.
  bool is_free() const { return state.link == LinkState::connected && !busy && !stale; }

  Tasks tasks;
  qemuctl::detail::Wakeup wakeup; ///< `wanted` has changed, or the configuration was read anew
};
using VmPtr = std::shared_ptr<TrackedVm>;

/// A device that is still settling is there within fractions of a second, and tried again after no longer than this;
/// what takes longer needs a person.
constexpr std::chrono::milliseconds longest_quick_pause{2'000};

/// One reconciliation.
struct Round {
  const time_point now = std::chrono::steady_clock::now();
  time_point next = time_point::max(); ///< when to look again at the latest
  std::set<std::string> at_work;       ///< VMs that have something to do, now or later

  void wake(time_point when) { next = std::min(next, when); }
};

/// While it is there a step is on its way, for that VM and that device, either of which may be missing; however the
/// step ends. Made before the task that takes it, which begins later.
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

/// State, and what changes it. Handlers of what happens (`on_...`) and requests write down what is so now and call
/// `changed`; `reconcile` decides what follows. Steps run beside it and end in a handler.
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
  bool restoring = false; ///< what it was before is being restored
  GeneralConfig general;
  detail::Flapping flapping;
  detail::Loans loans;
  std::map<std::string, detail::TrackedDevice> devices; ///< by sysfs path
  /// By connector, for a moment: what comes back there in another mode is still that device.
  std::map<std::string, detail::Departure> departures;
  std::vector<detail::VmPtr> vms;
  std::set<std::string> expected; ///< VMs that are about to be started, whether they are in `vms` or not
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
  /// `instance`: of a VM that the program has connected; nullptr: the engine is to find it.
  void add(VmEntry entry, std::shared_ptr<qemuctl::Instance> instance = nullptr);
  detail::VmPtr find_vm(const std::string& name) const;
  /// Those VMs of the device's rule that there are.
  std::vector<std::string> known_vms(const detail::TrackedDevice& device) const;
  bool all_ended() const;
  /// Nothing is lent that can be given back.
  bool all_returned() const;

  // engine.cpp
  asio::awaitable<void> run();
  /// At the end: no device is left without a driver, or with one that is of no use to the host.
  asio::awaitable<void> give_back_rest();
  asio::awaitable<void> follow_udev();
  /// What the host used when something else was mounted may be free now.
  asio::awaitable<void> follow_mounts();
  void on_event(DeviceEvent event);
  void on_arrived(Device device, bool plugged);
  void on_removed(const std::string& sys_path);
  /// The VM that the device was in which was there a moment ago; nullopt: none. Forgets it.
  std::optional<std::string> departed_from(const std::string& connector);
  void apply_rules(detail::TrackedDevice& device);
  /// What is remembered of this device, to be changed and saved.
  detail::Choice& choice_of(const Device& device);
  void save_choices();
  asio::awaitable<void> write_choices(detail::Choices copy);

  // engine_reload.cpp
  void apply_vms(std::vector<VmEntry> entries);
  void apply_general(GeneralConfig fresh);
  void apply_authorization(UsbAuthorization fresh, UsbRules fresh_rules);

  // engine_reconcile.cpp
  /// Starts what can be started now. When to look again at the latest.
  detail::time_point reconcile();
  /// Where each device is to be.
  std::vector<detail::PlannedDevice> follow_wishes(detail::Round& round);
  /// What each VM has, as far as its guest has noticed.
  std::vector<detail::PlannedVm> planned_vms() const;
  void follow_detach(const detail::Detach& step, detail::Round& round);
  void follow_attach(const detail::Attach& step, detail::Round& round);
  /// A monitor that is needed is connected, and one that is not is given back.
  void follow_monitor(const detail::VmPtr& vm, detail::Round& round);
  /// Starts what is due of `to_verify`.
  void follow_missed(const detail::VmPtr& vm, detail::Round& round);
  /// Brings `state` up to date, tells of the difference, and remembers what is to outlive the engine.
  void show(detail::TrackedDevice& device, const detail::Holding* holding);
  /// Whether the guest is still to answer an earlier request to let go of it; when not, `start_detach` asks.
  bool awaits_guest(detail::TrackedVm& vm, const detail::Detach& step, detail::Round& round);

  // engine_steps.cpp
  void start_detach(const detail::VmPtr& vm, const detail::Detach& step);
  void start_attach(const detail::VmPtr& vm, detail::TrackedDevice& device);
  /// How a device goes there, by its rule.
  detail::AttachRequest attach_request(const detail::TrackedVm& vm, const detail::TrackedDevice& device);
  asio::awaitable<void> attach(detail::Step step, detail::AttachRequest request);
  asio::awaitable<void> detach(detail::Step step, detail::Qdev qdev);
  asio::awaitable<void> look_again(detail::Step step);
  asio::awaitable<void> verify(detail::Step step, std::string id);
  void on_attach_failed(detail::TrackedVm& vm, detail::TrackedDevice* device, const qemuctl::Error& error);

  /// An attempt to attach the device has failed; sets when to try again.
  void note_failure(detail::TrackedDevice& device);

  // engine_pci.cpp
  /// To all PCI devices: what becomes of one depends on the others of its group.
  void apply_pci_rules();
  /// Its rule says `force`.
  bool is_forced(const detail::TrackedDevice& device) const;
  /// What the host would miss if it lost the device; empty: nothing, or its rule insists.
  detail::Problem host_use(const detail::TrackedDevice& device) const;
  /// The other engine that has it; empty: this one. What that one had lent is known then. Throws `qemuctl::Error`.
  detail::Problem take_claim(detail::TrackedDevice& device, const std::string& for_whom);
  /// The virtual functions that would be gone with the driver of a card; empty: it has none, or nobody would miss them
  /// and its rule insists.
  detail::Problem virtual_function_use(const detail::TrackedDevice& device) const;
  /// Why the device, which is no VM's yet, is not to be taken from the host now. When it is, it is claimed.
  detail::Problem take_obstacle(const std::string& vm, detail::TrackedDevice& device);
  /// True: whether the kernel uses its disks is being found out, and the device is busy.
  bool start_probe(detail::TrackedDevice& device);
  asio::awaitable<void> probe(detail::Step step, std::vector<std::string> nodes);
  /// The kernel did not let go of it; `problem` says why.
  void keep_back(detail::TrackedDevice& device, detail::Problem problem);
  /// True: the device can be attached now. Otherwise what it takes has been started, or its `problem` says what is in
  /// the way.
  bool prepare_pci(const std::string& vm, std::optional<int> pid, detail::TrackedDevice& device);
  asio::awaitable<void> lend(detail::Step step);
  /// Gives back what no VM has or is about to get. `next`: when to look again at the latest.
  void give_back_unused(const std::set<std::string>& held, detail::time_point now, detail::time_point& next);
  void start_give_back(detail::TrackedDevice& device, detail::time_point now);
  asio::awaitable<void> give_back(detail::Step step);
  void after_driver_change(detail::TrackedDevice& device, std::optional<qemuctl::detail::Process> stuck);
  void note_stuck(detail::TrackedDevice& device, std::optional<qemuctl::detail::Process> stuck);
  asio::awaitable<void> watch_stuck(std::string sys_path, qemuctl::detail::Process process);

  // engine_authorization.cpp
  /// Has the kernel authorise nothing by itself, or undoes that, as the configuration says.
  void begin_authorization();
  void take_over_hub(const std::string& root_hub);
  void on_hub(const UsbHub& hub);
  asio::awaitable<void> authorize_hub(std::string sys_name);
  /// What is wrong; empty: it is written.
  asio::awaitable<std::string> write_authorization(std::string sys_name, bool authorized);
  std::optional<bool> authorization_of(const detail::TrackedDevice& device) const;
  /// What no VM is to have is the host's, or nobody's.
  void follow_authorization(detail::time_point now, detail::time_point& next);
  asio::awaitable<void> authorize(detail::Step step, bool wanted);
  asio::awaitable<void> restore_authorization();

  // engine_requests.cpp
  /// Waits for what was asked for: returns when `ended` does so, which is called after each reconciliation and at the
  /// deadline; from then on with true, because it is late. It throws what the request is refused with.
  asio::awaitable<void> wait_for(detail::time_point deadline, std::function<bool(bool late)> ended);
  /// The device, unless nobody may ask anything of it.
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
  /// Those that a VM of that name can have from its start on.
  std::set<std::string> devices_for_start(const std::string& vm) const;
  /// What keeps one of those devices from being ready for that VM's start; empty: nothing. Goes on with what it takes;
  /// `waits_for` is one that is not ready yet.
  std::string start_obstacle(const std::string& vm, const std::set<std::string>& paths, std::string& waits_for);
  asio::awaitable<StartArguments> request_start_arguments(std::string vm, StartOptions how);
  asio::awaitable<qemuctl::VmConfig> with_start_devices(qemuctl::VmConfig config);
  /// The VM has not started: nothing is kept for it until it would have.
  void release_start_devices(const std::string& vm);

  // engine_connect.cpp
  asio::awaitable<void> connect(detail::VmPtr vm);
  /// From its vm.json, with the devices that it starts with. Throws `qemuctl::Error`.
  asio::awaitable<qemuctl::Instance> launch_vm(detail::VmPtr vm);
  asio::awaitable<std::shared_ptr<qemuctl::Instance>> start_vm(detail::VmPtr vm);

  // engine_vms.cpp
  asio::awaitable<void> serve(detail::VmPtr vm);
  asio::awaitable<void> follow_events(detail::VmPtr vm, qemuctl::EventSubscription events);
  asio::awaitable<void> follow_status(detail::VmPtr vm, qemuctl::StatusSubscription statuses);
  asio::awaitable<void> watch_end(detail::VmPtr vm, qemuctl::detail::Process process);
  void on_connected(const detail::VmPtr& vm, detail::VmDevices has);
  /// QEMU has shown what the VM has.
  void on_seen(detail::TrackedVm& vm, detail::VmDevices has);
  void on_ended(detail::TrackedVm& vm);
  /// Its QEMU is gone, and with it all that it had.
  void forget_guest(detail::TrackedVm& vm);
  void disconnect(detail::TrackedVm& vm, LinkState link, std::string problem);
  void set_link(detail::TrackedVm& vm, LinkState link, std::string problem = {});
  void set_status(detail::TrackedVm& vm, qemuctl::VmStatus status);
};

} // namespace hotplug
