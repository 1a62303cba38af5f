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

/// Called with one line of text at a time. Must not throw.
using LogHandler = std::function<void(LogLevel, std::string_view)>;

struct EngineOptions {
  EngineOptions() = default; // no aggregate: see `qemuctl::QmpClientOptions`

  /// Also attach devices that are already plugged in when the engine starts; otherwise only those plugged in later and
  /// those that an earlier engine had attached.
  bool attach_connected = false;
  /// State shared by all engines of a host and discarded at boot: `claims` keeps two engines from taking the same
  /// device; `lent` and `usb-authorization` record what has to be restored, even after a crash.
  std::filesystem::path runtime_dir = "/run/qemuctl";
  /// How long an idle monitor of a VM with `monitor: "yield"` is kept before it is released.
  std::chrono::milliseconds idle_before_yield{300};
  /// Deadline of each QMP command. A VM that misses it counts as not responding.
  std::chrono::milliseconds command_timeout{10'000};
  /// How long the kernel may take to change the driver of a PCI device before the helper process that asked for it is
  /// abandoned.
  std::chrono::milliseconds driver_timeout{10'000};
  /// How long a guest may take to release a PCI or input device before that is reported.
  std::chrono::milliseconds unplug_timeout{10'000};
  /// How often a guest that has not released it is asked again.
  std::chrono::milliseconds ask_again_after{30'000};
  /// How long a guest is assumed to be booting after its QEMU was first seen or was reset. It may miss devices that are
  /// plugged in during that time.
  std::chrono::milliseconds boot_time{120'000};
  /// How long after a PCI or input device was plugged in while the guest booted the engine checks whether the guest has
  /// noticed it. If not, the device is unplugged and plugged in again.
  std::chrono::milliseconds verify_after{60'000};
  /// How long QEMU has after `Engine::prepare_start` to open the devices that it starts with.
  std::chrono::milliseconds start_timeout{60'000};
  /// Deadline of `attach`, `detach` and the other requests below.
  std::chrono::milliseconds request_timeout{30'000};
  LogHandler log; ///< default: no logging
};

/// A bounded queue of notifications. When it is full the oldest is dropped, and the next one delivered counts the loss.
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

/// Keeps host devices attached to the VMs where the rules, or the user, want them.
///
///     hotplug::Engine engine(executor, hotplug::load_config("rules.json").config);
///     co_await engine.run();
///
/// The engine compares the desired state with what the host has and what each QEMU reports, and reconciles the two;
/// whatever happens to a device, a guest, a QEMU or a previous engine is handled by that same comparison. A device
/// counts as attached when QEMU reports it bound, and as detached when QEMU has deleted it. A device that moves leaves
/// its old VM completely first. Devices that somebody else attached are left alone. VMs are served independently: one
/// that is stuck does not delay the others.
///
/// Threading: bound to its executor, which must not run two handlers at once; call every member there. Lifetime:
/// destruction stops the engine without blocking; guests keep their devices.
class Engine {
 public:
  /// Opens the state file (`general.persistency`) and subscribes to udev. Throws `qemuctl::Error`: `already_running`
  /// when another engine holds the state file, `invalid_argument` for invalid rules; `std::system_error` without udev.
  explicit Engine(asio::any_io_executor executor, Config config, EngineOptions options = {});
  Engine(Engine&&) noexcept;
  Engine& operator=(Engine&&) noexcept;
  ~Engine();

  /// Adds a VM that this program launched or attached to; its monitor stays connected, and rules refer to it as `name`.
  /// It is removed when it ends. `run` returns after the last VM has ended, so add the first one before calling it, or
  /// after `prepare_start`. Throws `qemuctl::Error` (`invalid_argument`) when a VM of that name has not ended yet.
  void add_vm(std::string name, std::shared_ptr<qemuctl::Instance> instance);

  /// Runs until it is cancelled or `stop` is called or, when every VM was given by `add_vm` or a PID, until the last of
  /// them has ended. Guests keep their devices; PCI devices that no VM holds are returned to their drivers first, which
  /// may take some seconds. Call it once. Throws when udev fails.
  asio::awaitable<void> run();
  void stop() noexcept;

  /// Replaces the configuration and applies it; the vm.json of VMs that are not running is read again. Throws as the
  /// constructor does, and `invalid_argument` for a VM with the name of one from `add_vm`; nothing has changed then.
  /// `general.state_path` and `general.persistency` keep their values (a difference is logged as a warning);
  /// `general.api` and `general.rest` belong to `ApiServer::reload` and `RestServer::reload`.
  void reload(Config config);

  /// Connects to the VM's monitor, which stays connected while the result is kept and is then released if the VM's
  /// monitor is to be yielded. Throws `qemuctl::Error`: `not_found` (no such VM), `not_running`, `monitor_in_use`,
  /// `timed_out` (no answer), `aborted` (the engine is stopping).
  asio::awaitable<std::shared_ptr<qemuctl::Instance>> connect_vm(std::string name);
  /// Launches a VM described by its `config` and returns QEMU's PID. Throws `qemuctl::Error`: `not_found`,
  /// `not_supported` (no `config`), `already_running`, and as `qemuctl::Instance::launch` does.
  asio::awaitable<int> start_vm(std::string name);

  /// Returns the QEMU arguments that give a VM its PCI and input devices and its ACPI tables from the start; the engine
  /// then recognises them as attached. The devices are taken from their drivers, and returned if no QEMU opens them
  /// within `EngineOptions::start_timeout`. Requires `run` to be running; the VM need not be known to the engine.
  /// Throws `qemuctl::Error`: `command_failed` with the first device that is not available and the reason, `aborted`
  /// (the engine is stopping).
  asio::awaitable<StartArguments> prepare_start(std::string vm, StartOptions options = {});
  /// The same for a VM that is about to be launched from `config`: adds the devices to `extra_args`, each on a PCI
  /// Express port of its own if the machine has them. Returns `config` unchanged unless its `hotplug` section sets
  /// `at_start`. Throws likewise, and as `qemuctl::plan_launch` does.
  asio::awaitable<qemuctl::VmConfig> with_start_devices(qemuctl::VmConfig config);

  /// The devices that are present, ordered by sysfs path.
  std::vector<DeviceState> devices() const;
  std::vector<UsbState> usb_devices() const; ///< the USB devices among them
  std::vector<VmState> vms() const;
  const Rules& rules() const noexcept;

  /// Returns after the engine's next reconciliation, at `deadline`, or when the engine ends: for programs that display
  /// its state, any part of which may have changed by then.
  asio::awaitable<void>
  settled(std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max());

  /// Subscribes to notifications from now on. `capacity` is at least 1.
  NotificationSubscription subscribe(std::size_t capacity = 1'024);

  /// Attaches the device at that sysfs path to a VM, moving it from another one if necessary, and returns when QEMU
  /// reports it bound. `vm` may be empty if the rules allow exactly one. The choice is remembered. On failure the
  /// device returns to where it was. `rom_file` is the absolute path of the option ROM that a PCI device gets in that
  /// VM from now on (opened by QEMU); empty: the device's own. Throws `qemuctl::Error`: `not_found` (no such device, or
  /// it was unplugged), `invalid_argument` (the rules do not allow it, a VM must be named, or the ROM file is
  /// unusable), `not_supported` (somebody else attached it, or it is attached with another ROM), `not_running`,
  /// `monitor_in_use`, `command_failed` (the attempt failed or timed out; the message says how), `aborted` (superseded
  /// by another request for the device, or the engine is stopping). Cancelling any of these requests ends the wait, not
  /// the operation.
  asio::awaitable<void> attach(std::string sys_path, std::string vm, std::string rom_file = {});
  /// Detaches it from its VM, keeps it out until somebody attaches it again, and returns when QEMU has deleted it.
  /// Throws `qemuctl::Error`: `not_found`, `not_supported` (somebody else attached it), `timed_out` (the VM still has
  /// it; the engine keeps trying), `aborted`.
  asio::awaitable<void> detach(std::string sys_path);
  /// Detaches the devices of that kind from that VM (empty: from all VMs) until `resume`, except those whose rule sets
  /// `skip_on_suspend`, and returns when QEMU has deleted them: for a host that is about to sleep. Not kept beyond the
  /// engine's lifetime. Throws `qemuctl::Error` (`timed_out`).
  asio::awaitable<void> suspend(DeviceKind kind, std::string vm = {});
  /// Attaches them again where they were and returns when that is done. Throws `qemuctl::Error` for the first that
  /// fails, after waiting for the others.
  asio::awaitable<void> resume(DeviceKind kind, std::string vm = {});
  /// Detaches everything that engines attached, without remembering it, and attaches nothing more. Returns when QEMU
  /// has deleted it all; throws `qemuctl::Error` (`timed_out`) after `EngineOptions::request_timeout`.
  asio::awaitable<void> detach_all();

  struct Impl; ///< private

 private:
  std::shared_ptr<Impl> impl_;
};

} // namespace hotplug
