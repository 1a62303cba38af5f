// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// Connecting to VMs: finding their monitors, waiting for them, launching those that start with the engine.
#include "discovery.hpp"
#include "engine_impl.hpp"
#include "file_watch.hpp"

#include <qemuctl/error.hpp>
#include <qemuctl/vm_config_json.hpp>

#include <asio/experimental/awaitable_operators.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>

#include <filesystem>
#include <optional>
#include <string>
#include <utility>

namespace hotplug {

using detail::VmPtr;
using qemuctl::errc;
using qemuctl::Error;
using qemuctl::Instance;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using namespace asio::experimental::awaitable_operators;

namespace {

/// Long enough to find out whether somebody else has the monitor; then the wait continues in its socket's queue.
constexpr milliseconds first_greeting{3'000};
constexpr milliseconds queued_greeting{std::chrono::hours(24)};
/// A socket appears a moment before QEMU listens on it.
constexpr milliseconds first_refusal_pause{10};
constexpr int quick_refusals = 8;
constexpr milliseconds longest_pause{30'000};

/// The monitor in a VM's entry; nullopt when the entry has only a PID.
std::optional<qemuctl::MonitorAddress> known_monitor(const VmEntry& entry) {
  if (!entry.socket.empty()) return qemuctl::parse_monitor_address(entry.socket);
  if (entry.config.empty()) return std::nullopt;
  const qemuctl::VmConfig config = qemuctl::load_vm_config(entry.config);
  const std::filesystem::path folder = config.socket_dir.empty() ? qemuctl::default_socket_dir() : config.socket_dir;
  return qemuctl::UnixPath((folder / (config.name + ".sock")).string());
}

/// Whether its vm.json now names another monitor, or none.
bool has_moved(const VmEntry& entry, const std::optional<qemuctl::MonitorAddress>& from) {
  try {
    return known_monitor(entry) != from;
  } catch (const Error&) {
    return true; // the next attempt tells what is wrong with it
  }
}

/// The first monitor of that process that can be waited for.
std::optional<qemuctl::MonitorAddress> monitor_of(int pid) {
  for (const auto& monitor : qemuctl::detail::inspect_qemu_process(pid).monitors)
    if (monitor.address) return monitor.address;
  return std::nullopt;
}

/// The advice when libvirt has the monitor, which it never releases.
std::string with_advice(std::string problem) {
  for (const char* daemon : {"libvirtd", "virtqemud", "/libvirt/"})
    if (problem.find(daemon) != std::string::npos)
      return problem +
             " libvirt never gives its monitor back: add a second one to the domain "
             "(<qemu:commandline> with -qmp unix:PATH,server=on,wait=off), allow QEMU that path and /dev/bus/usb in "
             "AppArmor's or SELinux's profile and in cgroup_device_acl of qemu.conf, and name that path as the socket.";
  return problem;
}

asio::awaitable<void> pause(milliseconds duration) {
  asio::steady_timer timer(co_await asio::this_coro::executor, duration);
  co_await timer.async_wait(asio::use_awaitable);
}

/// How an attempt to connect ended without a connection.
struct Obstacle {
  enum class Kind { absent, taken, over, other } kind = Kind::other;
  std::string text;
};

Obstacle obstacle(const Error& error, bool by_pid) {
  const std::error_code code = error.code();
  if (code == errc::monitor_in_use || code == errc::timed_out)
    return {Obstacle::Kind::taken, with_advice(error.what())};
  if (by_pid && code == errc::not_found) return {Obstacle::Kind::over, error.what()};
  if (code == errc::connect_failed || code == errc::disconnected) return {Obstacle::Kind::absent, error.what()};
  return {Obstacle::Kind::other, error.what()};
}

} // namespace

asio::awaitable<void> Engine::Impl::connect(VmPtr vm) {
  std::optional<qemuctl::MonitorAddress> address;
  std::string wrong;
  try {
    address = known_monitor(vm->entry);
  } catch (const Error& error) {
    wrong = error.what();
  }
  if (!wrong.empty()) { // its vm.json; it may be right the next time
    set_link(*vm, LinkState::blocked, wrong);
    vm->wanted = true;
    co_await vm->wakeup.wait_until(steady_clock::now() + longest_pause);
    co_return;
  }
  const auto* path = address ? std::get_if<qemuctl::UnixPath>(&*address) : nullptr;
  std::optional<detail::FileWatch> watch;
  if (path) watch.emplace(executor, path->path);
  milliseconds greeting = first_greeting;
  bool queue = false; // wait in the queue of a monitor that somebody else has
  int refusals = 0;
  while (!vm->removed) {
    qemuctl::AttachOptions how;
    how.qmp.greeting_timeout = greeting;
    how.qmp.command_timeout = options.command_timeout;
    std::optional<Obstacle> why;
    try {
      std::optional<qemuctl::MonitorAddress> target = address;
      if (!target && queue) target = monitor_of(*vm->entry.pid);
      if (vm->entry.auto_start && !vm->started) vm->instance = co_await start_vm(vm);
      if (!vm->instance && target)
        vm->instance = std::make_shared<Instance>(co_await Instance::attach(*target, how));
      else if (!vm->instance)
        vm->instance = std::make_shared<Instance>(co_await Instance::attach_by_pid(*vm->entry.pid, how));
      co_return;
    } catch (const Error& error) {
      why = obstacle(error, !address);
    }
    switch (why->kind) {
    case Obstacle::Kind::over:
      log(LogLevel::error, "VM {}: {}", vm->state.name, why->text);
      on_ended(*vm);
      co_return;
    case Obstacle::Kind::taken:
      set_link(*vm, LinkState::blocked, why->text);
      if (std::exchange(queue, true)) co_await pause(longest_pause); // even its queue is full
      greeting = queued_greeting;
      break;
    case Obstacle::Kind::absent:
      queue = false;
      greeting = first_greeting;
      if (refusals < quick_refusals && path && std::filesystem::exists(path->path)) {
        co_await pause(first_refusal_pause * (1 << refusals));
        ++refusals;
        break;
      }
      // The end of a known process is watched; of an unknown one only its monitor tells.
      if (!vm->watched) forget_guest(*vm);
      set_link(*vm, LinkState::waiting);
      // Meanwhile the configuration may be reloaded.
      if (watch)
        co_await (watch->changed() || vm->wakeup.wait_until());
      else
        co_await vm->wakeup.wait_until(steady_clock::now() + longest_pause);
      if (has_moved(vm->entry, address)) {
        vm->wanted = true;
        co_return;
      }
      refusals = path ? 0 : 1;
      break;
    case Obstacle::Kind::other:
      set_link(*vm, LinkState::blocked, why->text);
      co_await pause(longest_pause);
      break;
    }
  }
}

asio::awaitable<Instance> Engine::Impl::launch_vm(VmPtr vm) {
  const auto self = shared_from_this();
  qemuctl::LaunchOptions how;
  how.qmp.command_timeout = options.command_timeout;
  how.on_warning = [self, name = vm->state.name](std::string_view text) {
    self->log(LogLevel::warning, "VM {}: {}", name, text);
  };
  qemuctl::VmConfig config = qemuctl::load_vm_config(vm->entry.config);
  config = co_await with_start_devices(std::move(config));
  const std::string name = config.name;
  try {
    co_return co_await Instance::launch(std::move(config), std::move(how));
  } catch (...) {
    release_start_devices(name);
    throw;
  }
}

/// Launches a VM that starts with the engine; nullptr when it is already running.
asio::awaitable<std::shared_ptr<Instance>> Engine::Impl::start_vm(VmPtr vm) {
  vm->started = true; // once
  std::shared_ptr<Instance> started;
  try {
    started = std::make_shared<Instance>(co_await launch_vm(vm));
    vm->hold = true; // its monitor is private
  } catch (const Error& error) {
    if (error.code() != errc::already_running) throw;
  }
  co_return started;
}

} // namespace hotplug
