// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/command_line.hpp>
#include <qemuctl/file_descriptor.hpp>
#include <qemuctl/launch_plan.hpp>
#include <qemuctl/monitor_address.hpp>
#include <qemuctl/qmp_client.hpp>
#include <qemuctl/vm_config.hpp>

#include <asio/awaitable.hpp>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qemuctl {

/// The state of a VM, reduced to what programs act on.
///
/// From QEMU's RunState (`qapi/run-state.json`): running, finish-migrate, postmigrate while running -> running;
/// paused, debug, save-vm, restore-vm, colo, watchdog, io-error -> paused; suspended -> suspended;
/// prelaunch, preconfig, inmigrate -> prelaunch; shutdown -> shutdown; guest-panicked, internal-error -> crashed.
/// A process that ended after SHUTDOWN is shutdown; one that was killed is crashed. No monitor answers: unknown.
enum class State { unknown, prelaunch, running, paused, suspended, shutdown, crashed };

/// "running", ...
std::string_view to_string(State state) noexcept;

/// What is known about a VM at one moment.
struct VmStatus {
  State state = State::unknown;
  std::string run_state;        ///< QEMU's own word ("io-error"); empty when the process is gone or silent
  std::string reason;           ///< why, if there is more to say: "guest-panic", "host-qmp-quit", "killed by signal 9"
  bool process_alive = true;    ///< false once QEMU has ended
  std::optional<int> exit_code; ///< QEMU's exit status, if it is a child of this process
  std::optional<int> signal;    ///< the signal that killed it, likewise
  std::uint64_t lost =
      0; ///< in a subscription: status changes dropped just before this one, because its queue was full

  bool operator==(const VmStatus&) const = default;
};

/// How `stop` ended a VM.
enum class StopResult {
  already_stopped, ///< it had already ended
  guest_shut_down, ///< the guest shut itself down (SHUTDOWN with a reason "guest-...")
  quit,            ///< the guest did not in time, or panicked; QEMU was told to quit, by anybody, and did
  killed,          ///< QEMU did not quit either and was killed, by this call or anybody else
};

std::string_view to_string(StopResult result) noexcept;

/// Receives one-line warnings, such as "KVM does not work here: ...; using TCG". Must not throw.
using WarningHandler = std::function<void(std::string_view)>;

struct LaunchOptions {
  LaunchOptions() = default; // no aggregate: see `QmpClientOptions`
  /// From the start of the process to the reply to `qmp_capabilities`.
  std::chrono::milliseconds start_timeout{30'000};
  bool paused = false;              ///< start with the CPUs stopped (`-S`) until `resume`
  bool kill_on_destruction = false; ///< SIGKILL when the `Instance`, or the coroutine that creates it, is destroyed;
                                    ///< default: the VM keeps running
  /// Connects the serial ports of type "socket" that QEMU serves (`server`) before it starts, for
  /// `Instance::take_serial`, so that no byte of the guest's output is lost.
  bool connect_serials = false;
  WarningHandler on_warning; ///< default: warnings are dropped
  QmpClientOptions qmp;      ///< for the private monitor; `greeting_timeout` is replaced by `start_timeout`
};

struct AttachOptions {
  AttachOptions() = default;
  WarningHandler on_warning;
  QmpClientOptions qmp;
};

/// A bounded queue of status changes, starting with the current status. When it is full the oldest is dropped, and the
/// next one delivered counts the loss. Otherwise like `EventSubscription`.
class StatusSubscription {
 public:
  StatusSubscription() noexcept;
  StatusSubscription(StatusSubscription&&) noexcept;
  StatusSubscription& operator=(StatusSubscription&&) noexcept;
  ~StatusSubscription();

  /// The next change; nullopt after the last one, when the process is gone or, if it is not known, the monitor.
  /// Throws `Error` (`errc::timed_out`) if `timeout` expires first.
  asio::awaitable<std::optional<VmStatus>> next(std::optional<std::chrono::milliseconds> timeout = std::nullopt);

  struct Queue; ///< private

 private:
  friend class Instance;
  explicit StatusSubscription(std::shared_ptr<Queue> queue) noexcept;
  std::shared_ptr<Queue> queue_;
};

/// The limits of a disk. 0 means no limit. A total cannot be combined with its read/write pair (QEMU rejects that).
struct IoThrottle {
  std::uint64_t bps = 0, bps_read = 0, bps_write = 0;    ///< bytes per second
  std::uint64_t iops = 0, iops_read = 0, iops_write = 0; ///< operations per second
  bool operator==(const IoThrottle&) const = default;
};

/// A block device of the guest, as `query-block` reports it.
struct BlockDevice {
  std::string id;        ///< the device's id (`disks[].id`), or its QOM path if it has none
  std::string qdev;      ///< QEMU's `qdev`: id or QOM path, as other block commands take it
  std::string node_name; ///< of the inserted medium
  std::string file;      ///< QEMU's name for it: a path, or options as "json:{...}"
  std::string driver;    ///< "raw", "qcow2", ...
  bool read_only = false;
  bool inserted = false;  ///< false: no medium
  bool removable = false; ///< the medium can be changed
  bool tray_open = false;
  bool locked = false; ///< by the guest, which must open the tray itself unless forced
  IoThrottle throttle; ///< those of its group, if it has one (`ThrottleConfig`)
};

/// How `device_del` ended.
enum class UnplugResult {
  deleted,   ///< DEVICE_DELETED arrived; the device and its id are free
  timed_out, ///< the guest, or QEMU itself, has not responded, but still may; the device is still there
  rejected,  ///< the guest refused (DEVICE_UNPLUG_GUEST_ERROR)
};

/// When a display password expires: never, at once, or at a given time.
struct PasswordExpiry {
  static PasswordExpiry never() { return {"never"}; }
  static PasswordExpiry now() { return {"now"}; }
  static PasswordExpiry in(std::chrono::seconds duration); ///< from now, at least 1 s
  static PasswordExpiry at(std::chrono::system_clock::time_point time);
  std::string qmp_value; ///< as `expire_password` takes it
};

enum class ScreenshotFormat { png, ppm };

/// A VM that was launched or attached to.
///
///     Instance vm = co_await Instance::launch(config);
///     StopResult how = co_await vm.stop(30s);
///
/// The state is queried from QEMU whenever an event suggests a change, and never guessed from the event. The end of the
/// process is detected through a pidfd, whatever happens to the monitor.
///
/// Threading: bound to the executor of the coroutine that created it (`co_await asio::this_coro::executor`), which must
/// not run two handlers at once; call every member there. Lifetime: movable. Destroying it never blocks and leaves the
/// VM running (unless `kill_on_destruction`); a VM launched here keeps its public monitor, so it can be attached to
/// again. Calls in flight then end with `errc::disconnected` or `errc::interrupted`. Cancellation: every awaitable can
/// be cancelled and then throws `operation_canceled`; a command already sent may still take effect. A cancelled or
/// failed `launch` leaves no process, and no file but the log, behind. Errors: every awaitable throws `Error` as
/// `QmpClient::execute` does, and `errc::disconnected` once the VM has ended.
class Instance {
 public:
  /// Starts QEMU and returns once its main loop responds.
  ///
  /// The control channel is an inherited socket pair; the public monitor `<socketDir>/<name>.sock` stays free for
  /// other clients. QEMU's stdout and stderr go to `<socketDir>/<name>.log`. QEMU runs in its own session, so a
  /// terminal's Ctrl-C does not reach it. While it runs it holds a lock on `<socketDir>/<name>.lock`, by which the
  /// next launch of that name knows that it is running, whatever became of the launcher.
  ///
  /// Throws `Error`: `invalid_argument`, `not_supported`, `not_found` before anything is started; `already_running`
  /// when a VM of this name runs or somebody listens on its socket; `launch_failed` with QEMU's last output.
  static asio::awaitable<Instance> launch(VmConfig config, LaunchOptions options = {});
  /// The same for a launch planned before: nothing is searched for again, and the warnings are the plan's.
  static asio::awaitable<Instance> launch(LaunchPlan plan, LaunchOptions options = {});

  /// Attaches to a running VM by its monitor. The PID is known (SO_PEERCRED) on a Unix socket only.
  static asio::awaitable<Instance> attach(MonitorAddress address, AttachOptions options = {});

  /// Attaches to a running QEMU by its PID: finds every monitor on its command line (`-qmp`, `-qmp-pretty`, `-mon` with
  /// `-chardev`, `-object monitor-qmp`; Unix, abstract and TCP sockets, inherited descriptors, relative paths and
  /// processes in another mount namespace) and takes the first free one.
  /// Throws `Error`: `not_found` (no such process, not a QEMU, or no monitor: the message says what to add),
  /// `monitor_in_use` when every monitor is taken, naming their holders.
  static asio::awaitable<Instance> attach_by_pid(int pid, AttachOptions options = {});

  Instance(Instance&&) noexcept;
  Instance& operator=(Instance&&) noexcept;
  ~Instance();

  const std::string&
  name() const noexcept; ///< as given to `-name`; for an attached VM without one, "pid N" or the address
  /// QEMU's PID; nullopt if not known: over TCP, behind a proxy, or when `qemuPath` is a wrapper that ended while the
  /// QEMU it started keeps running (one that uses `exec` becomes QEMU).
  std::optional<int> pid() const noexcept;
  const MonitorAddress& monitor() const noexcept;                ///< the public monitor, or the one attached to
  const std::filesystem::path& log_file() const noexcept;        ///< empty for an attached VM
  const std::string& accelerator() const noexcept;               ///< "kvm" or "tcg"; empty for an attached VM
  const std::vector<std::string>& command_line() const noexcept; ///< QEMU's argv; empty if not known
  const QmpGreeting& qemu() const noexcept;                      ///< QEMU's version

  /// The last known status; no I/O.
  VmStatus status() const;
  State state() const { return status().state; }

  /// Asks QEMU. Without a reply within 5 s, the state is `unknown` (process alive) or the final one. A monitor that is
  /// merely slow is polled in the background, so `status` and the subscriptions catch up once it responds.
  asio::awaitable<VmStatus> query_status();

  /// Status changes from now on, starting with the current status. `capacity` at least 1.
  StatusSubscription subscribe_status(std::size_t capacity = 256);
  /// QMP events from now on; earlier ones are not delivered. A subscription made right after `launch` or `attach`
  /// returns, without suspending in between, misses none since then.
  EventSubscription subscribe_events(EventFilter filter = {}, std::size_t capacity = 1'024);

  /// Waits until QEMU has ended (or, if its process is not known, until its monitor is gone) and says how. The state is
  /// `unknown` with `process_alive` if the monitor of such a VM went away without QEMU announcing its end.
  asio::awaitable<VmStatus> wait();
  /// The same with a deadline; nullopt if it has not ended by then.
  asio::awaitable<std::optional<VmStatus>> wait_for(std::chrono::milliseconds timeout);

  /// @name Power
  /// @{
  asio::awaitable<void> pause();
  /// Runs the guest. Does nothing to a suspended one; see `wake_up`.
  asio::awaitable<void> resume();
  asio::awaitable<void> wake_up();  ///< out of `suspended` (`system_wakeup`)
  asio::awaitable<void> reset();    ///< like the reset button; a paused VM is in `prelaunch` afterwards
  asio::awaitable<void> shutdown(); ///< presses the ACPI power button; the guest may ignore it
  /// Presses the power button, waits for `timeout`, then makes QEMU quit, then kills it. Returns when the process is
  /// gone, after at most `timeout` + 15 s. A paused guest cannot react, but is waited for, as somebody may resume it. A
  /// guest that has panicked, or cannot be reached because the monitor is gone, is not waited for. A QEMU that cannot
  /// be told to quit gets SIGTERM, on which it also exits cleanly.
  ///
  /// Throws `Error`: `interrupted` if it is impossible (the process is not known, and the monitor is gone or does not
  /// respond); `std::errc::operation_not_permitted` if QEMU does not quit and this user may not signal it; `timed_out`
  /// if the process still exists 5 s after SIGKILL. After cancellation the guest may still shut down.
  asio::awaitable<StopResult> stop(std::chrono::milliseconds timeout);
  /// Kills QEMU (SIGKILL) and waits for its end, at most 10 s; tells it to quit if the process is not known or belongs
  /// to another user. Throws like `stop`.
  asio::awaitable<void> force_stop();
  /// Makes QEMU exit cleanly, without asking the guest, and waits for its end, at most 10 s. Uses SIGTERM if the
  /// monitor is gone. Throws `timed_out` if QEMU has not ended by then, `interrupted` if that is not known.
  asio::awaitable<void> quit();
  /// @}

  /// @name Display
  /// @{
  /// Hands a client's connected socket to QEMU's VNC server. Needs a VNC display (its address may be `"none"`);
  /// `not_supported` without one. `skip_auth`: the client needs no password. Whatever happens, QEMU keeps the
  /// descriptor only of a client it serves.
  asio::awaitable<void> add_vnc_client(FileDescriptor socket, bool skip_auth = false);
  asio::awaitable<void> add_spice_client(FileDescriptor socket, bool skip_auth = false, bool tls = false);
  /// For future clients. VNC uses the first 8 characters and needs `VncConfig::password`. Without an expiry the
  /// previous one remains.
  asio::awaitable<void> set_vnc_password(std::string password, std::optional<PasswordExpiry> expiry = std::nullopt);
  asio::awaitable<void> set_spice_password(std::string password, std::optional<PasswordExpiry> expiry = std::nullopt);
  /// Writes the screen to a file, as PNG where QEMU can (7.1 and newer), else as PPM, and returns which. The file is
  /// opened here and passed by descriptor, so QEMU needs no permissions. It appears under its name only when complete,
  /// with the mode the umask gives, replacing an existing file. Throws a system error if it cannot be written, and
  /// whatever `execute` throws.
  asio::awaitable<ScreenshotFormat> screendump(std::filesystem::path file,
                                               ScreenshotFormat preferred = ScreenshotFormat::png);
  /// @}

  /// @name Input
  /// @{
  /// Presses the keys in order and releases them: QEMU's key names ("ctrl", "alt", "delete"), 1 to 16 of them.
  /// `hold` is how long they stay pressed; QEMU's default is 100 ms.
  asio::awaitable<void> send_key(std::vector<std::string> keys,
                                 std::optional<std::chrono::milliseconds> hold = std::nullopt);
  /// @}

  /// @name Block devices
  /// @{
  asio::awaitable<std::vector<BlockDevice>> query_block();
  /// Sets the limits of the disk `id` (`disks[].id`, or any name in `BlockDevice`), without bursts. All zero: no
  /// limits. A disk configured with limits shares those of its group, so they change for all its disks.
  asio::awaitable<void> set_io_throttle(std::string id, IoThrottle limits);
  /// Inserts an image, or a drive of the host, into the CD-ROM drive `id` (`cdroms[].id`, ...), and closes the file of
  /// the previous one, if any. Relative paths are relative to this program's working directory.
  ///
  /// The new file is opened first: if that fails, nothing changes. A guest that has locked the drive, as Linux does for
  /// a mounted medium, is asked to open it; if it does not within 5 s, the old medium stays and the error is
  /// `errc::timed_out`. With `force` it is not asked.
  asio::awaitable<void> change_medium(std::string id, std::filesystem::path path, bool force = false);
  /// Removes the medium, closes its file, and leaves the tray open. A locked drive is treated as above.
  asio::awaitable<void> eject(std::string id, bool force = false);
  /// @}

  /// @name Devices
  /// @{
  /// `properties` contains `driver` and `id`; values have the types of QEMU's properties (since 9.2 it rejects others).
  asio::awaitable<void> device_add(Json properties);
  /// Requests an unplug and returns when DEVICE_DELETED arrives, the guest rejects it, or `timeout` expires, even if
  /// QEMU has not replied by then. An id may be reused only after `deleted`. Throws `timed_out` if nothing could be
  /// sent in time, and `interrupted` if the VM or its monitor goes away first.
  asio::awaitable<UnplugResult> device_del(std::string id,
                                           std::chrono::milliseconds timeout = std::chrono::seconds(10));
  /// @}

  /// Any QMP command.
  asio::awaitable<Json> execute(std::string command, Json arguments = {}, ExecuteOptions options = {});
  /// Runs a human monitor command ("info registers") and returns its output, which includes any error.
  asio::awaitable<std::string> human_monitor_command(std::string command_line);

  /// The connected socket of serial port `index`, with `LaunchOptions::connect_serials`; it can be taken once. It
  /// carries everything the guest has written since it started. Throws `errc::not_found` if there is none.
  FileDescriptor take_serial(std::size_t index);

  struct Impl; ///< private

 private:
  explicit Instance(std::shared_ptr<Impl> impl) noexcept;
  std::shared_ptr<Impl> impl_;
};

} // namespace qemuctl
