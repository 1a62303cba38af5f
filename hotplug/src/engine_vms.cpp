// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// The way to the VMs: finding their monitors, waiting for them, giving them back.
#include "discovery.hpp"
#include "engine_impl.hpp"
#include "file_watch.hpp"

#include <qemuctl/error.hpp>
#include <qemuctl/vm_config_json.hpp>

#include <asio/experimental/awaitable_operators.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

namespace hotplug {

using detail::TrackedVm;
using detail::VmPtr;
using qemuctl::errc;
using qemuctl::Error;
using qemuctl::Instance;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using namespace asio::experimental::awaitable_operators;

namespace {

/// To find out whether somebody else has the monitor; then the wait goes on in the queue of its socket.
constexpr milliseconds first_greeting{3'000};
constexpr milliseconds queued_greeting{std::chrono::hours(24)};
/// A socket is there a moment before QEMU listens on it.
constexpr milliseconds first_refusal_pause{10};
constexpr int quick_refusals = 8;
constexpr milliseconds longest_pause{30'000};
constexpr milliseconds pause_after_failed_look{1'000};

/// The monitor that a VM is known by; nullopt when it is known by its PID alone.
std::optional<qemuctl::MonitorAddress> known_monitor(const VmEntry& entry) {
  if (!entry.socket.empty()) return qemuctl::parse_monitor_address(entry.socket);
  if (entry.config.empty()) return std::nullopt;
  const qemuctl::VmConfig config = qemuctl::load_vm_config(entry.config);
  const std::filesystem::path folder = config.socket_dir.empty() ? qemuctl::default_socket_dir() : config.socket_dir;
  return qemuctl::UnixPath((folder / (config.name + ".sock")).string());
}

/// Whether its vm.json names another monitor by now, or none any more.
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

/// Whether QEMU runs as another user than root, so that it may not open the nodes of devices.
bool needs_descriptors(std::optional<int> pid) {
  struct stat process {};
  return pid && ::stat(fmt::format("/proc/{}", *pid).c_str(), &process) == 0 && process.st_uid != 0;
}

/// What is to be said when libvirt has the monitor, which it never gives back.
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

qemuctl::VmStatus not_running() {
  qemuctl::VmStatus status;
  status.state = qemuctl::State::shutdown;
  status.process_alive = false;
  return status;
}

} // namespace

void Engine::Impl::set_link(TrackedVm& vm, LinkState link, std::string problem) {
  if (vm.state.link == link && vm.state.problem == problem) return;
  vm.state.link = link;
  vm.state.problem = std::move(problem);
  const LogLevel level = vm.state.problem.empty() ? LogLevel::debug : LogLevel::warning;
  log(level, "VM {}: {}{}{}", vm.state.name, to_string(link), vm.state.problem.empty() ? "" : ": ", vm.state.problem);
  if (link == LinkState::waiting) vm.booting_until = detail::time_point::min();
  if (link == LinkState::waiting && vm.state.status.process_alive) set_status(vm, not_running());
  changed();
}

void Engine::Impl::set_status(TrackedVm& vm, qemuctl::VmStatus status) {
  const qemuctl::State before = vm.state.status.state, state = status.state;
  if (vm.state.status == status) return;
  vm.state.status = std::move(status);
  changed();
  if (state == before) return;
  log(LogLevel::debug, "VM {} is {}", vm.state.name, qemuctl::to_string(state));
  Notification notification;
  notification.kind = Notification::Kind::vm_state;
  notification.vm = vm.state.name;
  notification.state = state;
  publish(notification);
}

void Engine::Impl::disconnect(TrackedVm& vm, LinkState link, std::string problem) {
  if (vm.owned) { // its program connected it, and it cannot be connected again
    // While its process lives it has its devices.
    if (vm.watched)
      set_link(vm, link, std::move(problem));
    else
      on_ended(vm);
    return;
  }
  vm.instance.reset(); // `follow_events` ends with it
  vm.idle_since.reset();
  vm.wanted = link != LinkState::yielded;
  set_link(vm, link, std::move(problem));
}

void Engine::Impl::on_connected(const VmPtr& vm, detail::VmDevices has) {
  const bool another_qemu = vm->state.pid != vm->instance->pid();
  if (another_qemu) vm->has = {};
  if (another_qemu || vm->booting_until == detail::time_point::min())
    vm->booting_until = steady_clock::now() + options.boot_time;
  on_seen(*vm, std::move(has));
  vm->stale = false;
  vm->state.pid = vm->instance->pid();
  vm->pass_descriptors =
      needs_descriptors(vm->state.pid) && !std::holds_alternative<qemuctl::TcpAddress>(vm->instance->monitor());
  for (auto& [path, device] : devices) {
    // When a VM comes, nobody is asked any more about what was there before.
    const auto& allowed = device.state.allowed_vms;
    if (!device.state.select && std::find(allowed.begin(), allowed.end(), vm->state.name) != allowed.end())
      device.wish.ask = false;
    // What it could not take before it may take now; otherwise a device that fails is not tried more often for it.
    if (another_qemu && device.state.target == vm->state.name) device.try_at_once();
  }
  for (const detail::Qdev& qdev : vm->has.devices)
    for (auto& [path, device] : devices)
      if (qdev.ours && qdev.host == detail::host_key(device.state.device)) device.wish.taken = true;
  // A monitor that is given back at once would have no time to tell.
  const qemuctl::VmStatus status = vm->instance->status();
  if (status.state != qemuctl::State::unknown) set_status(*vm, status);
  set_link(*vm, LinkState::connected);
}

void Engine::Impl::on_seen(TrackedVm& vm, detail::VmDevices has) {
  for (const detail::Qdev& before : vm.has.devices) {
    const bool there = std::ranges::find(has.devices, before.id, &detail::Qdev::id) != has.devices.end();
    if (there || !before.ours || !before.needs_guest() || vm.unplugs.contains(before.id)) continue;
    for (auto& [path, device] : devices)
      if (before.host == detail::host_key(device.state.device)) device.wish.left = true;
  }
  vm.has = std::move(has);
  const auto is_gone = [&](const std::string& id) {
    return std::ranges::find(vm.has.devices, id, &detail::Qdev::id) == vm.has.devices.end();
  };
  std::erase_if(vm.missed, is_gone);
  std::erase_if(vm.to_verify, [&](const auto& entry) { return is_gone(entry.first); });
  std::erase_if(vm.unplugs, [&](const auto& entry) {
    const bool gone = is_gone(entry.first);
    if (gone) log(LogLevel::info, "VM {} has {} no more", vm.state.name, entry.first);
    return gone;
  });
}

void Engine::Impl::on_ended(TrackedVm& vm) {
  log(LogLevel::info, "VM {} has ended", vm.state.name);
  const qemuctl::VmStatus last = vm.instance ? vm.instance->status() : not_running();
  set_status(vm, last.process_alive ? not_running() : last);
  vm.instance.reset();
  forget_guest(vm);
  vm.idle_since.reset();
  vm.wanted = true;
  vm.wakeup.notify();
  set_link(vm, vm.owned || vm.entry.pid ? LinkState::ended : LinkState::waiting);
}

void Engine::Impl::forget_guest(TrackedVm& vm) {
  for (auto& [path, device] : devices)
    if (device.state.allowed_vms.size() == 1 && device.state.allowed_vms.front() == vm.state.name)
      device.wish.left = false;
  vm.has = {};
  vm.unplugs.clear();
  vm.to_verify.clear();
  vm.missed.clear();
  vm.state.pid.reset();
  vm.watched.reset();
  vm.hold = vm.owned || vm.entry.monitor == "hold"; // the next QEMU may be launched by others
}

asio::awaitable<void> Engine::Impl::follow_status(VmPtr vm, qemuctl::StatusSubscription statuses) {
  const std::weak_ptr<Instance> instance = vm->instance;
  for (;;) {
    const std::optional<qemuctl::VmStatus> status = co_await statuses.next();
    // Of one that is not connected any more nothing is known.
    if (!status || !status->process_alive || instance.expired() || vm->instance != instance.lock()) co_return;
    if (status->state != qemuctl::State::unknown) set_status(*vm, *status);
  }
}

asio::awaitable<void> Engine::Impl::watch_end(VmPtr vm, qemuctl::detail::Process process) {
  co_await process.wait();
  if (!vm->removed && vm->state.pid == process.pid()) on_ended(*vm);
}

asio::awaitable<void> Engine::Impl::serve(VmPtr vm) {
  while (!vm->removed && vm->state.link != LinkState::ended) {
    while (!vm->wanted) co_await vm->wakeup.wait_until();
    vm->wanted = false;
    if (!vm->owned) {
      set_link(*vm, LinkState::connecting, vm->state.problem);
      co_await connect(vm);
    }
    if (!vm->instance) continue;
    // Subscribed before the look, so that what changes meanwhile is seen.
    std::shared_ptr<Instance> instance = vm->instance;
    qemuctl::EventSubscription events = instance->subscribe_events(qemuctl::events_named({"DEVICE_DELETED", "RESET"}));
    std::optional<Error> failed;
    try {
      detail::VmDevices has = co_await detail::look_at_devices(*instance);
      on_connected(vm, std::move(has));
    } catch (const Error& error) {
      failed = error;
    }
    if (failed) {
      instance.reset();
      disconnect(*vm, LinkState::connecting, failed->what());
      co_await pause(pause_after_failed_look);
      continue;
    }
    if (vm->state.pid && vm->watched != vm->state.pid) {
      try {
        vm->tasks.start(watch_end(vm, qemuctl::detail::Process::watch(executor, *vm->state.pid)));
        vm->watched = vm->state.pid;
      } catch (const std::system_error&) {
        vm->watched.reset(); // it has ended just now; the connection tells
      }
    }
    vm->tasks.start(follow_status(vm, instance->subscribe_status()));
    instance.reset(); // from here on the VM alone keeps it
    co_await follow_events(vm, std::move(events));
    if (vm->owned) vm->wanted = false;
  }
}

asio::awaitable<void> Engine::Impl::follow_events(VmPtr vm, qemuctl::EventSubscription events) {
  const std::weak_ptr<Instance> instance = vm->instance;
  for (;;) {
    const std::optional<qemuctl::Event> event = co_await events.next();
    const bool ours = !instance.expired() && vm->instance == instance.lock();
    if (!event) {
      // Given back, or lost. The end of the process is told by the process, where it is known.
      if (ours) disconnect(*vm, LinkState::connecting, {});
      co_return;
    }
    if (!ours) co_return;
    const qemuctl::Json* device = event->data.find("device");
    const bool known = device && device->is_string() &&
                       std::any_of(vm->has.devices.begin(), vm->has.devices.end(),
                                   [&](const detail::Qdev& qdev) { return qdev.id == device->as_string(); });
    if (event->name == "RESET") vm->booting_until = steady_clock::now() + options.boot_time;
    // A deletion that was asked for is already known, or its step is on its way and will know.
    if (event->lost > 0 || event->name == "RESET" || (known && device->as_string() != vm->deleting)) {
      vm->stale = true;
      changed();
    }
  }
}

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
      // The end of a process that is known is told by itself. Of another one nobody tells but its monitor.
      if (!vm->watched) forget_guest(*vm);
      set_link(*vm, LinkState::waiting);
      // The configuration may be read anew meanwhile.
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

/// Launches a VM that is to be started with the engine; nullptr when it runs already.
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
