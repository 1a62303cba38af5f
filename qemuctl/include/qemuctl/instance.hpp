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

/// What a VM is doing, reduced to what programs decide by.
///
/// From QEMU's RunState (`qapi/run-state.json`): running, finish-migrate, postmigrate while running -> running;
/// paused, debug, save-vm, restore-vm, colo, watchdog, io-error -> paused; suspended -> suspended;
/// prelaunch, preconfig, inmigrate -> prelaunch; shutdown -> shutdown; guest-panicked, internal-error -> crashed.
/// A process that ended after SHUTDOWN is shutdown; one that was killed is crashed. No monitor answers: unknown.
enum class State { unknown, prelaunch, running, paused, suspended, shutdown, crashed };

/// "running", ...
std::string_view to_string(State state) noexcept;

/// What is known of a VM at one moment.
struct VmStatus {
  State state = State::unknown;
  std::string run_state; ///< QEMU's own word ("io-error"); empty when the process is gone or silent
  std::string reason;    ///< why, when there is something to say: "guest-panic", "host-qmp-quit", "killed by signal 9"
  bool process_alive = true;    ///< false once QEMU has ended
  std::optional<int> exit_code; ///< QEMU's exit status; only of a child of this process
  std::optional<int> signal;    ///< what killed it; only of a child of this process
  std::uint64_t lost =
      0; ///< in a subscription: status changes dropped just before this one, because its queue was full

  bool operator==(const VmStatus&) const = default;
};

/// Which way `stop` ended a VM.
enum class StopResult {
  already_stopped, ///< it had ended before
  guest_shut_down, ///< the guest ended by itself, in order (SHUTDOWN with a reason "guest-...")
  quit,            ///< the guest did not in time, or panicked; QEMU was told to quit, by whomever, and did
  killed,          ///< QEMU did not quit either and was killed (by this call or by somebody else meanwhile)
};

std::string_view to_string(StopResult result) noexcept;

/// Receives one-line warnings, such as "KVM does not work here: ...; using TCG". Must not throw.
using WarningHandler = std::function<void(std::string_view)>;

struct LaunchOptions {
  LaunchOptions() = default; // no aggregate: see `QmpClientOptions`
  /// From the start of the process to the reply to `qmp_capabilities`.
  std::chrono::milliseconds start_timeout{30'000};
  bool paused = false; ///< start with the CPUs stopped (`-S`); `resume` lets them go
  bool kill_on_destruction =
      false; ///< SIGKILL when the `Instance` is destroyed (or the coroutine that made it); default: the VM goes on
  /// The serial ports of type "socket" that QEMU serves (`server`) are connected before it starts and handed out by
  /// `Instance::take_serial`, so that not a byte of the guest's output is lost.
  bool connect_serials = false;
  WarningHandler on_warning; ///< default: warnings are dropped
  QmpClientOptions qmp;      ///< for the private monitor; `greeting_timeout` is replaced by `start_timeout`
};

struct AttachOptions {
  AttachOptions() = default;
  WarningHandler on_warning;
  QmpClientOptions qmp;
};

/// A bounded queue of status changes, the current status first. When it is full the oldest gives way, and the next one
/// delivered counts the loss. Same rules as `EventSubscription`.
class StatusSubscription {
 public:
  StatusSubscription() noexcept;
  StatusSubscription(StatusSubscription&&) noexcept;
  StatusSubscription& operator=(StatusSubscription&&) noexcept;
  ~StatusSubscription();

  /// The next change; nullopt after the last one: the process is gone or, for a VM without a known process, its monitor
  /// is. Throws `Error` (`errc::timed_out`) when `timeout` passes first.
  asio::awaitable<std::optional<VmStatus>> next(std::optional<std::chrono::milliseconds> timeout = std::nullopt);

  struct Queue; ///< private

 private:
  friend class Instance;
  explicit StatusSubscription(std::shared_ptr<Queue> queue) noexcept;
  std::shared_ptr<Queue> queue_;
};

/// The limits of a disk. 0 means no limit. Totals and the read/write pairs cannot be used together (QEMU refuses both).
struct IoThrottle {
  std::uint64_t bps = 0, bps_read = 0, bps_write = 0;    ///< bytes per second
  std::uint64_t iops = 0, iops_read = 0, iops_write = 0; ///< operations per second
  bool operator==(const IoThrottle&) const = default;
};

/// A block device of the guest, as `query-block` reports it.
struct BlockDevice {
  std::string id;        ///< the device's id (`disks[].id`); the QOM path when it has none
  std::string qdev;      ///< QEMU's `qdev`: id or QOM path; what other block commands take
  std::string node_name; ///< of the inserted medium
  std::string file;      ///< as QEMU calls it: a path, or options as "json:{...}"
  std::string driver;    ///< "raw", "qcow2", ...
  bool read_only = false;
  bool inserted = false;  ///< false: no medium
  bool removable = false; ///< the medium can be changed
  bool tray_open = false;
  bool locked = false; ///< by the guest: it has to open the tray itself, or be forced
  IoThrottle throttle; ///< of its group, for a disk that has one (`ThrottleConfig`)
};

/// How `device_del` ended.
enum class UnplugResult {
  deleted,   ///< DEVICE_DELETED has come; the device and its id are free
  timed_out, ///< the guest, or QEMU itself, has not answered yet; it may still, and the device is still there
  rejected,  ///< the guest refused (DEVICE_UNPLUG_GUEST_ERROR)
};

/// When a display password ends: never, at once, or at a time.
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
/// State is asked from QEMU whenever an event says that it may have changed, and never guessed from the event. The end
/// of the process is seen through a pidfd, whatever happens to the monitor.
///
/// Threading: bound to the executor of the coroutine that made it (`co_await asio::this_coro::executor`), which must
/// not run two handlers at once. Every member is to be called there. Lifetime: movable. Destroying it never blocks and
/// leaves the VM running (unless `kill_on_destruction`); a VM launched here keeps its public monitor, so it can be
/// attached to again. Calls in flight then end with `errc::disconnected` or `errc::interrupted`. Cancellation: every
/// awaitable can be cancelled and then throws `operation_canceled`; what had been sent to QEMU may still happen. A
/// cancelled or failed `launch` leaves no process and no file but the log behind. Errors: every awaitable throws
/// `Error` as `QmpClient::execute` does, and `errc::disconnected` once the VM has ended.
class Instance {
 public:
  /// Starts QEMU and returns when its main loop has answered.
  ///
  /// The control channel is an inherited socket pair; the public monitor `<socketDir>/<name>.sock` stays free for
  /// others. QEMU's stdout and stderr go to `<socketDir>/<name>.log`. QEMU runs in a session of its own, so a
  /// terminal's Ctrl-C does not reach it. While it runs it holds a lock on `<socketDir>/<name>.lock`: that is what
  /// "running" means to the next launch of that name, whatever became of the launcher.
  ///
  /// Throws `Error`: `invalid_argument`, `not_supported`, `not_found` before anything is started; `already_running`
  /// when a VM of this name runs or somebody listens on its socket; `launch_failed` with QEMU's last words.
  static asio::awaitable<Instance> launch(VmConfig config, LaunchOptions options = {});
  /// The same for a description that was planned already: nothing is looked for a second time, and warnings are the
  /// plan's.
  static asio::awaitable<Instance> launch(LaunchPlan plan, LaunchOptions options = {});

  /// Attaches to a running VM by its monitor. The PID is found by SO_PEERCRED on a Unix socket, else it is unknown.
  static asio::awaitable<Instance> attach(MonitorAddress address, AttachOptions options = {});

  /// Attaches to a running QEMU by its PID: finds every monitor on its command line (`-qmp`, `-qmp-pretty`, `-mon` with
  /// `-chardev`, `-object monitor-qmp`; Unix, abstract and TCP sockets, inherited descriptors, relative paths and
  /// processes in another mount namespace) and takes the first free one.
  /// Throws `Error`: `not_found` (no such process, or no QEMU, or it has no monitor: the message says what to add),
  /// `monitor_in_use` when every monitor is taken, with each one's holder.
  static asio::awaitable<Instance> attach_by_pid(int pid, AttachOptions options = {});

  Instance(Instance&&) noexcept;
  Instance& operator=(Instance&&) noexcept;
  ~Instance();

  const std::string&
  name() const noexcept; ///< as given to `-name`; for an attached VM without one, "pid N" or the address
  /// QEMU's; nullopt when it is not known: over TCP, behind a proxy, or when `qemuPath` is a wrapper that ended while
  /// the QEMU it had started goes on (one that uses `exec` becomes QEMU).
  std::optional<int> pid() const noexcept;
  const MonitorAddress& monitor() const noexcept;                ///< the public monitor, or the one attached to
  const std::filesystem::path& log_file() const noexcept;        ///< empty for an attached VM
  const std::string& accelerator() const noexcept;               ///< "kvm" or "tcg"; empty for an attached VM
  const std::vector<std::string>& command_line() const noexcept; ///< QEMU's argv; empty when it is not known
  const QmpGreeting& qemu() const noexcept;                      ///< QEMU's version

  /// The status as it was last seen; no I/O.
  VmStatus status() const;
  State state() const { return status().state; }

  /// Asks QEMU. When there is no answer within 5 s, the state is `unknown` (process alive) or the final one. A monitor
  /// that is only slow is asked on in the background, so `status` and the subscriptions follow when it answers again.
  asio::awaitable<VmStatus> query_status();

  /// Status changes from now on, beginning with the current status. `capacity` at least 1.
  StatusSubscription subscribe_status(std::size_t capacity = 256);
  /// QMP events from now on; those before this call are not delivered, except that a subscription made right after
  /// `launch` or `attach` returned, without suspending between, misses nothing from then on.
  EventSubscription subscribe_events(EventFilter filter = {}, std::size_t capacity = 1'024);

  /// Waits until QEMU has ended (for a VM without a known process: until its monitor is gone) and says how. The state
  /// is `unknown` with `process_alive` when the monitor of such a VM went without QEMU having announced its end.
  asio::awaitable<VmStatus> wait();
  /// The same with a deadline; nullopt when it has not ended by then.
  asio::awaitable<std::optional<VmStatus>> wait_for(std::chrono::milliseconds timeout);

  /// @name Power
  /// @{
  asio::awaitable<void> pause();
  /// Runs the guest. On a guest that is suspended it does nothing; see `wake_up`.
  asio::awaitable<void> resume();
  asio::awaitable<void> wake_up();  ///< out of `suspended` (`system_wakeup`)
  asio::awaitable<void> reset();    ///< like the reset button; a paused VM is in `prelaunch` afterwards
  asio::awaitable<void> shutdown(); ///< presses the ACPI power button; the guest may ignore it
  /// Presses the power button, waits for `timeout`, then has QEMU quit, then kills it. Returns when the process is
  /// gone: at most `timeout` + 15 s. A paused guest cannot react, but is waited for all the same: somebody may resume
  /// it. A guest that has panicked, or that the request does not reach because the monitor is gone, is not waited for.
  /// A QEMU that cannot be told to quit gets SIGTERM, on which it ends in order too.
  ///
  /// Throws `Error`: `interrupted` when it cannot be done (a VM without a known process whose monitor is gone or does
  /// not answer); `std::errc::operation_not_permitted` when QEMU does not quit and this user may not signal it;
  /// `timed_out` when the process is there 5 s after SIGKILL. Cancelled, it stops where it is: the guest may still
  /// shut down.
  asio::awaitable<StopResult> stop(std::chrono::milliseconds timeout);
  /// Kills QEMU (SIGKILL) and waits for its end, at most 10 s; has it quit when the process is not known, or is not
  /// this user's to kill. Throws as `stop` does.
  asio::awaitable<void> force_stop();
  /// Has QEMU end in order, without asking the guest, and waits for its end, at most 10 s. SIGTERM takes the place of
  /// a monitor that is gone. Throws `timed_out` when QEMU has not ended by then, `interrupted` when that is not known.
  asio::awaitable<void> quit();
  /// @}

  /// @name Display
  /// @{
  /// Hands a client's connected socket to QEMU's VNC server. Needs a VNC display (`"none"` as its address will do);
  /// `not_supported` without one. `skip_auth`: the client need not know the password. However this ends, no descriptor
  /// stays in QEMU but that of a client it serves.
  asio::awaitable<void> add_vnc_client(FileDescriptor socket, bool skip_auth = false);
  asio::awaitable<void> add_spice_client(FileDescriptor socket, bool skip_auth = false, bool tls = false);
  /// For the clients to come. VNC uses the first 8 characters and needs `VncConfig::password`. An expiry that is left
  /// out leaves the one that was set before.
  asio::awaitable<void> set_vnc_password(std::string password, std::optional<PasswordExpiry> expiry = std::nullopt);
  asio::awaitable<void> set_spice_password(std::string password, std::optional<PasswordExpiry> expiry = std::nullopt);
  /// Writes the screen to a new file, as PNG where QEMU can (7.1 and newer), else as PPM; says which it was. The file
  /// is opened here and passed by descriptor, so QEMU needs no rights to it. It appears under its name when it is
  /// complete, with the mode the umask gives; an existing file is replaced. Throws a system error when it cannot be
  /// written, and what `execute` throws.
  asio::awaitable<ScreenshotFormat> screendump(std::filesystem::path file,
                                               ScreenshotFormat preferred = ScreenshotFormat::png);
  /// @}

  /// @name Input
  /// @{
  /// Presses the keys in order and lets them go: QEMU's key names ("ctrl", "alt", "delete"), 1 to 16 of them.
  /// `hold` is how long they stay down; QEMU's default is 100 ms.
  asio::awaitable<void> send_key(std::vector<std::string> keys,
                                 std::optional<std::chrono::milliseconds> hold = std::nullopt);
  /// @}

  /// @name Block devices
  /// @{
  asio::awaitable<std::vector<BlockDevice>> query_block();
  /// Sets the limits of the disk `id` (`disks[].id`, or anything `BlockDevice` names it by), without bursts. All zero:
  /// no limits. Those of a disk that was described with limits are its group's, and so change for all disks of that.
  asio::awaitable<void> set_io_throttle(std::string id, IoThrottle limits);
  /// Puts another image, or a drive of the host, into the CD-ROM drive `id` (`cdroms[].id`, ...), whether it is empty
  /// or not, and closes the old one's file. Relative paths are relative to this program's working directory.
  ///
  /// The new file is opened first: when it cannot be, nothing has changed. A guest that has locked the drive, as Linux
  /// does with one that is mounted, is asked to open it and has 5 s for that; then the old medium stays and the error
  /// is `errc::timed_out`. With `force` it is not asked.
  asio::awaitable<void> change_medium(std::string id, std::filesystem::path path, bool force = false);
  /// Takes the medium out, closes its file, and leaves the tray open. The same holds for a locked drive.
  asio::awaitable<void> eject(std::string id, bool force = false);
  /// @}

  /// @name Devices
  /// @{
  /// `properties` has `driver` and `id`; values have the types QEMU's properties have (since 9.2 QEMU refuses others).
  asio::awaitable<void> device_add(Json properties);
  /// Asks for an unplug and returns when DEVICE_DELETED has come, the guest has refused, or `timeout` has passed, also
  /// when QEMU has not even replied by then. An id may be used again after `deleted` only. Throws `timed_out` when
  /// nothing could be sent in time, and `interrupted` when the VM or its monitor went first.
  asio::awaitable<UnplugResult> device_del(std::string id,
                                           std::chrono::milliseconds timeout = std::chrono::seconds(10));
  /// @}

  /// Any QMP command.
  asio::awaitable<Json> execute(std::string command, Json arguments = {}, ExecuteOptions options = {});
  /// A command of the human monitor ("info registers") and what it printed. QEMU reports its errors as text, too.
  asio::awaitable<std::string> human_monitor_command(std::string command_line);

  /// The connected end of serial port `index`, with `LaunchOptions::connect_serials`; once. Everything the guest has
  /// written since it started is in it. Throws `errc::not_found` when there is none.
  FileDescriptor take_serial(std::size_t index);

  struct Impl; ///< private

 private:
  explicit Instance(std::shared_ptr<Impl> impl) noexcept;
  std::shared_ptr<Impl> impl_;
};

} // namespace qemuctl
