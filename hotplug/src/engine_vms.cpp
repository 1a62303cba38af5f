// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// Following VMs while they are connected, and to their end.
#include "engine_impl.hpp"

#include <qemuctl/error.hpp>

#include <asio/awaitable.hpp>
#include <sys/stat.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace hotplug {

using detail::TrackedVm;
using detail::VmPtr;
using qemuctl::Error;
using qemuctl::Instance;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

constexpr milliseconds pause_after_failed_look{1'000};

/// Whether QEMU runs as another user than root, so that it may not open the nodes of devices.
bool needs_descriptors(std::optional<int> pid) {
  struct stat process {};
  return pid && ::stat(fmt::format("/proc/{}", *pid).c_str(), &process) == 0 && process.st_uid != 0;
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
    // While its process is alive, it has its devices.
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
    // Once a VM appears, users are no longer asked about devices that were present before.
    const auto& allowed = device.state.allowed_vms;
    if (!device.state.select && std::find(allowed.begin(), allowed.end(), vm->state.name) != allowed.end())
      device.wish.ask = false;
    // A new QEMU may take what the old one could not; otherwise a failing device keeps its pace of retries.
    if (another_qemu && device.state.target == vm->state.name) device.try_at_once();
  }
  for (const detail::Qdev& qdev : vm->has.devices)
    for (auto& [path, device] : devices)
      if (qdev.ours && qdev.host == detail::host_key(device.state.device)) device.wish.taken = true;
  // A monitor that is yielded at once would have no time to report this.
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
    // Nothing is known about a VM that is no longer connected.
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
    // Subscribed before querying, so that no change in between is missed.
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
      co_await vm->wakeup.wait_until(steady_clock::now() + pause_after_failed_look);
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
      // Yielded or lost. The end of a known process is reported by the process itself.
      if (ours) disconnect(*vm, LinkState::connecting, {});
      co_return;
    }
    if (!ours) co_return;
    const qemuctl::Json* device = event->data.find("device");
    const bool known = device && device->is_string() &&
                       std::any_of(vm->has.devices.begin(), vm->has.devices.end(),
                                   [&](const detail::Qdev& qdev) { return qdev.id == device->as_string(); });
    if (event->name == "RESET") vm->booting_until = steady_clock::now() + options.boot_time;
    // A requested deletion is already recorded, or its step is in progress and will record it.
    if (event->lost > 0 || event->name == "RESET" || (known && device->as_string() != vm->deleting)) {
      vm->stale = true;
      changed();
    }
  }
}

} // namespace hotplug
