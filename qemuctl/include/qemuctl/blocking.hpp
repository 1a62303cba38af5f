// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/instance.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

/// The same API for programs that do not use Asio: each object owns a thread that runs the asynchronous one.
namespace qemuctl::blocking {

/// `qemuctl::Instance` with blocking calls, which are documented there.
///
///     auto vm = qemuctl::blocking::Instance::launch(config);
///     vm.stop(30s);
///
/// Threading: thread-safe; one thread may call `stop` while another blocks in `wait`. Lifetime: movable (not during a
/// call). The destructor waits for a running callback, never for QEMU.
///
/// Callbacks, including `on_warning`, run on the object's own thread, one at a time, with signals blocked. Functions
/// that do not need QEMU (`name` to `status`, `take_serial`) may be called from a callback; all others throw `Error`
/// (`invalid_argument`) there, as they would deadlock: hand such work to another thread. The object may be destroyed in
/// a callback, which is then the last one. Exceptions from a callback are reported to `on_warning`; later callbacks
/// still run.
class Instance {
 public:
  static Instance launch(VmConfig config, LaunchOptions options = {});
  static Instance attach(MonitorAddress address, AttachOptions options = {});
  static Instance attach_by_pid(int pid, AttachOptions options = {});

  Instance(Instance&&) noexcept;
  Instance& operator=(Instance&&) noexcept;
  ~Instance();

  std::string name() const;
  std::optional<int> pid() const;
  MonitorAddress monitor() const;
  std::filesystem::path log_file() const;
  std::string accelerator() const;
  std::vector<std::string> command_line() const;
  QmpGreeting qemu() const;
  VmStatus status() const;
  State state() const { return status().state; }

  VmStatus query_status();
  /// Calls back for every status change, the current status first. Replaces an earlier callback.
  void on_status_change(std::function<void(const VmStatus&)> callback);
  /// Calls back for every QMP event from now on. Replaces an earlier callback.
  void on_event(std::function<void(const Event&)> callback);

  VmStatus wait();
  /// nullopt if it has not ended by then.
  std::optional<VmStatus> wait_for(std::chrono::milliseconds timeout);

  void pause();
  void resume();
  void wake_up();
  void reset();
  void shutdown();
  StopResult stop(std::chrono::milliseconds timeout);
  void force_stop();
  void quit();

  void add_vnc_client(FileDescriptor socket, bool skip_auth = false);
  void add_spice_client(FileDescriptor socket, bool skip_auth = false, bool tls = false);
  void set_vnc_password(std::string password, std::optional<PasswordExpiry> expiry = std::nullopt);
  void set_spice_password(std::string password, std::optional<PasswordExpiry> expiry = std::nullopt);
  ScreenshotFormat screendump(std::filesystem::path file, ScreenshotFormat preferred = ScreenshotFormat::png);
  void send_key(std::vector<std::string> keys, std::optional<std::chrono::milliseconds> hold = std::nullopt);

  std::vector<BlockDevice> query_block();
  void set_io_throttle(std::string id, IoThrottle limits);
  void change_medium(std::string id, std::filesystem::path path, bool force = false);
  void eject(std::string id, bool force = false);

  void device_add(Json properties);
  UnplugResult device_del(std::string id, std::chrono::milliseconds timeout = std::chrono::seconds(10));

  Json execute(std::string command, Json arguments = {}, ExecuteOptions options = {});
  std::string human_monitor_command(std::string command_line);
  FileDescriptor take_serial(std::size_t index);

  struct Impl; ///< private

 private:
  explicit Instance(std::unique_ptr<Impl> impl) noexcept;
  std::unique_ptr<Impl> impl_;
};

} // namespace qemuctl::blocking
