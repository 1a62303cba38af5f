// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hotplug/config.hpp>
#include <hotplug/notification.hpp>
#include <hotplug/rules.hpp>
#include <hotplug/start_arguments.hpp>
#include <hotplug/state.hpp>
#include <qemuctl/instance.hpp>
#include <qemuctl/vm_config.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hotplug {

enum class LogLevel { debug, info, warning, error };

/// Receives one line at a time. Must not throw.
using LogHandler = std::function<void(LogLevel, std::string_view)>;

struct EngineOptions {
  EngineOptions() = default; // no aggregate: see `qemuctl::QmpClientOptions`

  /// Attach what is plugged in already when the engine starts. Otherwise only what is plugged in later, and what an
  /// engine had attached before.
  bool attach_connected = false;
  /// What all engines of a host share, gone when it boots: `claims`, so that two of them never take the same device;
  /// `lent` and `usb-authorization`, what is to be given back, also after a crash.
  std::filesystem::path runtime_dir = "/run/qemuctl";
  /// How long the monitor of a VM with `monitor: "yield"` is kept when there is nothing more to do.
  std::chrono::milliseconds idle_before_yield{300};
  /// For each command of QEMU's. One that takes longer is taken for a VM that does not answer.
  std::chrono::milliseconds command_timeout{10'000};
  /// How long the kernel is given to change the driver of a PCI device, before whoever asked it is abandoned.
  std::chrono::milliseconds driver_timeout{10'000};
  /// How long a guest is given to let go of a PCI or input device before that is told.
  std::chrono::milliseconds unplug_timeout{10'000};
  /// A guest that has not let go of it, or cannot now, is asked again so often.
  std::chrono::milliseconds ask_again_after{30'000};
  /// How long a guest may be booting after its QEMU was first seen, and after a reset: it may miss what is plugged in
  /// meanwhile.
  std::chrono::milliseconds boot_time{120'000};
  /// After so long it is asked whether the guest has noticed a PCI or input device that was plugged in meanwhile. If it
  /// has not, the device is taken out and put in again.
  std::chrono::milliseconds verify_after{60'000};
  /// For what a person asked for.
  std::chrono::milliseconds request_timeout{30'000};
  LogHandler log; ///< default: nothing is logged
};

/// A bounded queue of notifications. When it is full the oldest gives way, and the next one delivered counts the loss.
/// Same rules as `qemuctl::EventSubscription`.
class NotificationSubscription {
 public:
  NotificationSubscription() noexcept;
  NotificationSubscription(NotificationSubscription&&) noexcept;
  NotificationSubscription& operator=(NotificationSubscription&&) noexcept;
  ~NotificationSubscription();

  /// The next one; nullopt once the engine has ended. Throws `qemuctl::Error` (`errc::timed_out`).
  asio::awaitable<std::optional<Notification>> next(std::optional<std::chrono::milliseconds> timeout = std::nullopt);

  struct Queue; ///< private

 private:
  friend class Engine;
  explicit NotificationSubscription(std::shared_ptr<Queue> queue) noexcept;
  std::shared_ptr<Queue> queue_;
};

/// Keeps the devices of the host in the VMs that the rules and people want them in.
///
///     hotplug::Engine engine(executor, hotplug::load_config("rules.json").config);
///     co_await engine.run();
///
/// It compares what is wanted, what the host has, and what each QEMU shows, and does what makes them equal; whatever
/// happens to a device, a guest, a QEMU or an engine before it ends in the same comparison. A device counts as attached
/// when QEMU shows it bound, and as detached when QEMU has deleted it. It moves from one VM to another by leaving the
/// first completely. What others attached is left alone. Each VM is served by itself: one that is stuck delays no
/// other.
///
/// Threading: bound to its executor, which must not run two handlers at once. Every member is to be called there.
/// Lifetime: destroying it stops it without blocking; guests keep their devices.
class Engine {
 public:
  /// Opens the state file (`general.persistency`) and listens to udev. Throws `qemuctl::Error`: `already_running` when
  /// another engine has the state file, `invalid_argument` for rules that cannot be; `std::system_error` without udev.
  explicit Engine(asio::any_io_executor executor, Config config, EngineOptions options = {});
  Engine(Engine&&) noexcept;
  Engine& operator=(Engine&&) noexcept;
  ~Engine();

  /// Adds a VM that this program launched or attached to; its monitor stays connected. The rules name it by `name`. It
  /// is forgotten when it ends. `run` ends with the last of its VMs, so the first is to be added before, or when
  /// `prepare_start` has been called. Throws `qemuctl::Error` (`invalid_argument`) when there is a VM of that name that
  /// has not ended.
  void add_vm(std::string name, std::shared_ptr<qemuctl::Instance> instance);

  /// Works until it is cancelled or `stop` is called, or, when all its VMs were known by `add_vm` or a PID, until the
  /// last of these has ended. Guests keep their devices; cards that no VM has are given back to their drivers before
  /// it returns, which may take some seconds. Once. Throws when udev fails.
  asio::awaitable<void> run();
  void stop() noexcept;

  /// Takes another configuration, and does what follows from it. Throws as the constructor, and then nothing has
  /// changed. `general.state_path` and `general.persistency` stay as they are, with a warning in the log when the new
  /// ones differ; `general.api` and `general.rest` are for `ApiServer::reload` and `RestServer::reload`.
  void reload(Config config);

  /// The VM's monitor, connected, for as long as the result is kept: then it is given back, if it is one to be given
  /// back. Throws `qemuctl::Error`: `not_found` (no such VM), `not_running`, `monitor_in_use`, `timed_out` (it does not
  /// answer), `aborted` (the engine ends).
  asio::awaitable<std::shared_ptr<qemuctl::Instance>> connect_vm(std::string name);
  /// Launches a VM that is known by its `config`. The PID of QEMU. Throws `qemuctl::Error`: `not_found`,
  /// `not_supported` (it has no `config`), `already_running`, and as `qemuctl::Instance::launch`.
  asio::awaitable<int> start_vm(std::string name);

  /// What QEMU is to be started with so that the VM of that name has its PCI and input devices, and its ACPI tables,
  /// from the start; the engine then knows them as attached. The devices are taken from their drivers, and given back
  /// when no QEMU has opened them within 60 s. While `run` runs; the VM need not be one of the engine's. Throws
  /// `qemuctl::Error`: `command_failed` with the first device that cannot be had, and why, `aborted` (the engine ends).
  asio::awaitable<StartArguments> prepare_start(std::string vm, StartOptions options = {});
  /// The same for a VM that is to be launched from `config`: it has the devices in `extra_args`, each on a port of its
  /// own where the machine has such. Unchanged when its `hotplug` section does not say `at_start`. Throws likewise, and
  /// as `qemuctl::plan_launch`.
  asio::awaitable<qemuctl::VmConfig> with_start_devices(qemuctl::VmConfig config);

  /// What is there now, in the order of their paths.
  std::vector<DeviceState> devices() const;
  std::vector<UsbState> usb_devices() const; ///< those of USB among them
  std::vector<VmState> vms() const;
  const Rules& rules() const noexcept;

  /// Returns when the engine has next looked at what has changed, or at `deadline`; for those who show its state, all
  /// of which may be another one then. It does so at its end, too.
  asio::awaitable<void>
  settled(std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max());

  /// Notifications from now on. `capacity` at least 1.
  NotificationSubscription subscribe(std::size_t capacity = 1'024);

  /// Puts the device at that sysfs path into a VM, out of another one if need be, and returns when QEMU shows it bound.
  /// `vm` may be empty when the rules allow just one. The choice is remembered. When it fails, the device goes back to
  /// where it was. `rom_file` is the absolute path of what a PCI device is to have as its ROM in that VM from now on;
  /// empty: its own. QEMU opens it. Throws `qemuctl::Error`: `not_found` (no such device, or it was pulled),
  /// `invalid_argument` (the rules do not allow it, a VM has to be named, or that file cannot be), `not_supported`
  /// (somebody else put it where it is, or it is there with another ROM), `not_running`, `monitor_in_use`,
  /// `command_failed` (the attempt failed or took too long; it says how), `aborted` (another request for it came, or
  /// the engine ends). Cancelling this or another request ends the wait, not what was asked for.
  asio::awaitable<void> attach(std::string sys_path, std::string vm, std::string rom_file = {});
  /// Takes it out of its VM and remembers that until somebody attaches it. Returns when QEMU has deleted it. Throws
  /// `qemuctl::Error`: `not_found`, `not_supported` (somebody else put it where it is), `timed_out` (its VM still has
  /// it; it is tried again), `aborted`.
  asio::awaitable<void> detach(std::string sys_path);
  /// Takes the devices of that kind out of that VM (empty: of all VMs) until `resume`, but for those whose rule says
  /// `skip_on_suspend`, and returns when QEMU has deleted them: for a host that is about to sleep. Not remembered
  /// beyond the engine's end. Throws `qemuctl::Error` (`timed_out`).
  asio::awaitable<void> suspend(DeviceKind kind, std::string vm = {});
  /// Lets them back to where they were, and returns when they are there. Throws `qemuctl::Error` for the first that can
  /// not be, after waiting for the others.
  asio::awaitable<void> resume(DeviceKind kind, std::string vm = {});
  /// Takes out all that engines attached, without remembering it, and attaches nothing more. Returns when QEMU has
  /// deleted them; throws `qemuctl::Error` (`timed_out`) when that takes longer than `EngineOptions::request_timeout`.
  asio::awaitable<void> detach_all();

  struct Impl; ///< private

 private:
  std::shared_ptr<Impl> impl_;
};

} // namespace hotplug
