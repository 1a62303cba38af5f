// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// Reconciliation: compares what is wanted with what the host has and what each QEMU reports.
#include "engine_impl.hpp"

#include <hotplug/explanation.hpp>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

namespace hotplug {

using detail::Attach;
using detail::Detach;
using detail::Holding;
using detail::longest_quick_pause;
using detail::Plan;
using detail::PlannedDevice;
using detail::PlannedVm;
using detail::Round;
using detail::time_point;
using detail::TrackedDevice;
using detail::TrackedVm;
using detail::VmPtr;
using std::chrono::steady_clock;

namespace {

constexpr const char* left_by_guest = "it left its VM unexpectedly (ejected by the guest, removed through QEMU, or "
                                      "unbound on the host); it stays with the "
                                      "host until it is attached by hand, plugged in again, or its VM restarts";

} // namespace

time_point Engine::Impl::reconcile() {
  if (!looked) return time_point::max();
  Round round;
  const std::vector<PlannedDevice> wanted = follow_wishes(round);
  const Plan plan = make_plan(wanted, planned_vms());
  for (const Detach& step : plan.detach) follow_detach(step, round);
  for (const Attach& step : plan.attach) follow_attach(step, round);
  std::map<std::string_view, const Holding*> holding;
  std::set<std::string> held;
  for (const Holding& each : plan.holding) {
    holding.emplace(each.sys_path, &each);
    held.insert(each.sys_path);
  }
  give_back_unused(held, round.now, round.next);
  for (auto& [path, device] : devices) {
    const auto place = holding.find(path);
    show(device, place == holding.end() ? nullptr : place->second);
  }
  follow_authorization(round.now, round.next);
  for (const VmPtr& vm : vms) follow_monitor(vm, round);
  return round.next;
}

std::vector<PlannedDevice> Engine::Impl::follow_wishes(Round& round) {
  std::vector<PlannedDevice> wanted;
  for (auto& [path, device] : devices) {
    if (device.quarantined_until && *device.quarantined_until <= round.now) device.quarantined_until.reset();
    if (device.quarantined_until) round.wake(*device.quarantined_until);
    device.wish.quarantined = device.quarantined_until.has_value();
    device.wish.allowed = known_vms(device);
    if (device.select_until && *device.select_until <= round.now) {
      device.select_until.reset();
      device.wish.ask = false;
      log(LogLevel::info, "{}: nobody has chosen a VM in time", short_description(device.state.device));
    }
    if (device.select_until) round.wake(*device.select_until);
    device.state.target = leaving ? std::nullopt : target_of(device.wish);
    wanted.push_back({path, detail::host_key(device.state.device), device.state.target});
  }
  return wanted;
}

std::vector<PlannedVm> Engine::Impl::planned_vms() const {
  std::vector<PlannedVm> planned;
  for (const VmPtr& vm : vms) {
    planned.emplace_back(vm->state.name, vm->has.devices);
    for (detail::Qdev& qdev : planned.back().devices)
      if (vm->missed.contains(qdev.id)) qdev.attached = false; // so far QEMU alone has it
  }
  return planned;
}

void Engine::Impl::follow_detach(const Detach& step, Round& round) {
  const VmPtr vm = find_vm(step.vm);
  if (awaits_guest(*vm, step, round)) return;
  round.at_work.insert(step.vm);
  if (vm->is_free()) start_detach(vm, step);
}

void Engine::Impl::follow_attach(const Attach& step, Round& round) {
  const VmPtr vm = find_vm(step.vm);
  TrackedDevice& device = devices.at(step.sys_path);
  if (!vm) return;
  // A retry that is half a minute away does not keep the monitor from others.
  if (device.busy || device.retry_at <= round.now + longest_quick_pause) round.at_work.insert(step.vm);
  if (device.busy) return;
  if (device.retry_at > round.now)
    round.wake(device.retry_at);
  else if (vm->is_free())
    start_attach(vm, device);
}

void Engine::Impl::follow_monitor(const VmPtr& vm, Round& round) {
  follow_missed(vm, round);
  if (vm->stale && vm->state.link == LinkState::connected && !vm->busy)
    vm->tasks.start(look_again(detail::Step(shared_from_this(), vm)));
  const bool idle = !vm->busy && vm->users == 0 && !round.at_work.contains(vm->state.name);
  if (!idle) vm->idle_since.reset();
  if (!idle && vm->state.link == LinkState::yielded) {
    vm->wanted = true;
    vm->wakeup.notify();
  }
  if (!idle || vm->hold || vm->state.link != LinkState::connected) return;
  if (!vm->idle_since) vm->idle_since = round.now;
  const time_point end = *vm->idle_since + options.idle_before_yield;
  if (end <= round.now)
    disconnect(*vm, LinkState::yielded, {});
  else
    round.wake(end);
}

void Engine::Impl::follow_missed(const VmPtr& vm, Round& round) {
  const auto due = std::ranges::min_element(vm->to_verify, {}, [](const auto& entry) { return entry.second; });
  if (due == vm->to_verify.end()) return;
  if (due->second > round.now) return round.wake(due->second);
  round.at_work.insert(vm->state.name);
  if (vm->is_free()) vm->tasks.start(verify(detail::Step(shared_from_this(), vm), due->first));
}

void Engine::Impl::show(TrackedDevice& device, const Holding* holding) {
  DeviceState& state = device.state;
  const std::optional<std::string> vm = holding ? std::optional(holding->vm) : std::nullopt;
  const bool foreign = holding && holding->foreign;
  if (vm) device.was_in_vm = true;
  if (vm && !foreign) {
    device.wish.current = vm;
    device.wish.taken = true;
  }
  if (!vm && !state.target && !device.busy && !device.loan) device.claim = {};
  if (device.quarantined_until)
    device.problem = {ProblemKind::flapping,
                      "it came and went too often, and is let back when it has stayed for a while"};
  else if (!vm && !state.target && !device.stays.empty())
    device.problem = {ProblemKind::group, device.stays};
  else if (!vm && device.wish.left)
    device.problem = {ProblemKind::left, left_by_guest};
  else if (vm == state.target && !foreign && (vm || !device.loan))
    device.problem.clear();
  state.chosen = device.wish.chosen;
  state.returns_to.reset();
  if (device.wish.suspended) {
    detail::Wish resumed = device.wish;
    resumed.suspended = false;
    state.returns_to = target_of(resumed);
  }
  const bool select = device.wish.taken && device.wish.ask && !device.wish.detached && !device.wish.suspended &&
                      !state.target && !vm && device.wish.allowed.size() > 1;

  if (state.vm != vm || state.foreign != foreign || state.detached != device.wish.detached ||
      state.suspended != device.wish.suspended || state.select != select || state.degraded != device.problem.text) {
    const DeviceState before = state;
    state.vm = vm;
    state.foreign = foreign;
    state.detached = device.wish.detached;
    state.suspended = device.wish.suspended;
    if (!select)
      device.select_until.reset();
    else if (!state.select && general.select_timeout > 0) {
      device.select_until = steady_clock::now() + std::chrono::seconds(general.select_timeout);
      changed(); // so that the end is waited for
    }
    state.select = select;
    state.degraded = device.problem.text;
    state.problem = device.problem.kind;
    for (const Notification& notification : difference(&before, &state)) {
      if (notification.kind == Notification::Kind::degraded)
        log(LogLevel::warning, "{}: {}", short_description(state.device), notification.text);
      publish(notification);
    }
  }

  // The next engine attaches it again, unless it was detached.
  if (vm && !foreign ? device.remembered != vm
                     : device.remembered && !state.target && !leaving && !device.wish.suspended) {
    device.remembered = vm;
    choice_of(state.device).attached = vm;
    save_choices();
  }
}

bool Engine::Impl::awaits_guest(TrackedVm& vm, const Detach& step, Round& round) {
  const auto found = vm.unplugs.find(step.qdev);
  if (found == vm.unplugs.end()) return false;
  detail::Unplug& unplug = found->second;
  const time_point due = unplug.asked + options.unplug_timeout;
  if (round.now < due && unplug.refused.empty()) {
    round.at_work.insert(step.vm);
    round.wake(due);
    return true;
  }
  const auto device = devices.find(step.sys_path);
  const std::string problem =
      unplug.refused.empty()
          ? fmt::format("the guest of VM {} has not let go of {} within {}; it is asked again", step.vm,
                        device == devices.end() ? step.qdev : short_description(device->second.state.device),
                        qemuctl::detail::duration_text(options.unplug_timeout))
          : unplug.refused;
  if (!std::exchange(unplug.late, true) && device == devices.end()) log(LogLevel::warning, "{}", problem);
  const ProblemKind kind = unplug.refused.empty() ? ProblemKind::unplug : ProblemKind::refused;
  if (device != devices.end()) device->second.problem = {kind, problem};
  // The monitor is not held meanwhile; the next query shows whether the device is still there.
  const time_point again = unplug.asked + std::max(options.ask_again_after, options.unplug_timeout);
  if (round.now >= again) return false; // as soon as the VM is connected, which is told
  round.wake(again);
  return true;
}

} // namespace hotplug
