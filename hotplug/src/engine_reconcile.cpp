// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "engine_impl.hpp"

#include <hotplug/explanation.hpp>
#include <qemuctl/error.hpp>

#include <algorithm>
#include <exception>
#include <map>
#include <set>
#include <string_view>
#include <utility>

namespace hotplug {

using detail::Attach;
using detail::Detach;
using detail::Holding;
using detail::Plan;
using detail::PlannedDevice;
using detail::PlannedVm;
using detail::time_point;
using detail::TrackedUsb;
using detail::TrackedVm;
using detail::VmPtr;
using qemuctl::errc;
using std::chrono::steady_clock;

namespace {

/// A device that is still settling is there within fractions of a second; what takes longer needs a person.
constexpr std::chrono::milliseconds first_pause{50}, longest_quick_pause{2'000}, long_pause{30'000};
constexpr int quick_attempts = 8;
/// As many failures in a row are usual for a device in reset, and nothing to report.
constexpr int quiet_failures = 2;

std::chrono::milliseconds pause_after(int failures) {
  if (failures > quick_attempts) return long_pause;
  return std::min(first_pause * (1 << std::min(failures, 10)), longest_quick_pause);
}

/// The connection did not survive this, or the VM does not answer; the command may have been carried out.
bool breaks_link(const std::error_code& code) {
  return code == errc::interrupted || code == errc::disconnected || code == errc::timed_out ||
         code == errc::protocol_error;
}

const char* words(Detach::Reason reason) {
  switch (reason) {
  case Detach::Reason::gone:
    return "the device is gone";
  case Detach::Reason::unbound:
    return "QEMU is not bound to it";
  case Detach::Reason::unwanted:
    return "it is to be elsewhere";
  case Detach::Reason::duplicate:
    return "it is there twice";
  }
  return "";
}

} // namespace

qemuctl::Error detail::as_error(const std::exception_ptr& caught) {
  try {
    std::rethrow_exception(caught);
  } catch (const qemuctl::Error& error) {
    return error;
  }
}

detail::Step::Step(std::shared_ptr<Engine::Impl> engine, VmPtr vm, std::string sys_path)
    : engine_(std::move(engine)), vm_(std::move(vm)), sys_path_(std::move(sys_path)) {
  vm_->busy = true;
  if (TrackedUsb* of_step = device()) of_step->busy = true;
}

detail::Step::~Step() {
  vm_->busy = false;
  vm_->deleting.clear();
  if (TrackedUsb* of_step = device()) of_step->busy = false;
  engine_->changed();
}

TrackedUsb* detail::Step::device() const {
  const auto found = engine_->devices.find(sys_path_);
  return found == engine_->devices.end() ? nullptr : &found->second;
}

time_point Engine::Impl::reconcile() {
  if (!looked) return time_point::max();
  const time_point now = steady_clock::now();
  time_point next = time_point::max();

  std::vector<PlannedDevice> planned_devices;
  for (auto& [path, device] : devices) {
    if (device.quarantined_until && *device.quarantined_until <= now) device.quarantined_until.reset();
    if (device.quarantined_until) next = std::min(next, *device.quarantined_until);
    device.wish.quarantined = device.quarantined_until.has_value();
    if (device.select_until && *device.select_until <= now) {
      device.select_until.reset();
      device.wish.ask = false;
      log(LogLevel::info, "{}: nobody has chosen a VM in time", short_description(device.state.device));
    }
    if (device.select_until) next = std::min(next, *device.select_until);
    device.state.target = leaving ? std::nullopt : target_of(device.wish);
    planned_devices.push_back({path, {device.state.device.bus, device.state.device.address}, device.state.target});
  }
  std::vector<PlannedVm> planned_vms;
  for (const VmPtr& vm : vms) planned_vms.push_back({vm->state.name, vm->usb.devices});
  const Plan plan = make_plan(planned_devices, planned_vms);

  std::set<std::string> at_work; // VMs that have something to do, now or later
  for (const Detach& step : plan.detach) {
    const VmPtr vm = find_vm(step.vm);
    at_work.insert(step.vm);
    if (vm->state.link == LinkState::connected && !vm->busy && !vm->stale) start_detach(vm, step);
  }
  for (const Attach& step : plan.attach) {
    const VmPtr vm = find_vm(step.vm);
    TrackedUsb& device = devices.at(step.sys_path);
    if (!vm || device.busy) continue;
    // For what is tried again in half a minute no monitor is kept from others.
    if (device.retry_at <= now + longest_quick_pause) at_work.insert(step.vm);
    if (device.retry_at > now)
      next = std::min(next, device.retry_at);
    else if (vm->state.link == LinkState::connected && !vm->busy && !vm->stale)
      start_attach(vm, device);
  }
  std::map<std::string_view, const Holding*> holding;
  for (const Holding& each : plan.holding) holding.emplace(each.sys_path, &each);
  for (auto& [path, device] : devices) {
    const auto held = holding.find(path);
    show(device, held == holding.end() ? nullptr : held->second);
  }

  for (const VmPtr& vm : vms) {
    if (vm->stale && vm->state.link == LinkState::connected && !vm->busy) {
      vm->busy = true;
      vm->tasks.start(look_again(vm));
    }
    const bool idle = !vm->busy && vm->users == 0 && !at_work.contains(vm->state.name);
    if (!idle) vm->idle_since.reset();
    if (!idle && vm->state.link == LinkState::yielded) {
      vm->wanted = true;
      vm->wakeup.notify();
    }
    if (idle && !vm->hold && vm->state.link == LinkState::connected) {
      if (!vm->idle_since) vm->idle_since = now;
      const time_point end = *vm->idle_since + options.idle_before_yield;
      if (end <= now)
        disconnect(*vm, LinkState::yielded, {});
      else
        next = std::min(next, end);
    }
  }
  return next;
}

void Engine::Impl::show(TrackedUsb& device, const Holding* holding) {
  UsbState& state = device.state;
  const std::optional<std::string> vm = holding ? std::optional(holding->vm) : std::nullopt;
  const bool foreign = holding && holding->foreign;
  if (vm && !foreign) {
    device.wish.current = vm;
    device.wish.taken = true;
  }
  if (!vm && !state.target && !device.busy) device.claim = {};
  if (device.quarantined_until)
    device.problem = "it came and went too often, and is let back when it has stayed for a while";
  else if (!state.target || (vm == state.target && !foreign))
    device.problem.clear();
  const bool select = device.wish.taken && device.wish.ask && !device.wish.detached && !state.target && !vm &&
                      state.allowed_vms.size() > 1;

  if (state.vm != vm || state.foreign != foreign || state.detached != device.wish.detached || state.select != select ||
      state.degraded != device.problem) {
    const UsbState before = state;
    state.vm = vm;
    state.foreign = foreign;
    state.detached = device.wish.detached;
    if (!select)
      device.select_until.reset();
    else if (!state.select && general.select_timeout > 0) {
      device.select_until = steady_clock::now() + std::chrono::seconds(general.select_timeout);
      changed(); // so that the end is waited for
    }
    state.select = select;
    state.degraded = device.problem;
    for (const Notification& notification : difference(&before, &state)) {
      if (notification.kind == Notification::Kind::device_degraded)
        log(LogLevel::warning, "{}: {}", short_description(state.device), notification.text);
      publish(notification);
    }
  }

  // What was attached is attached again by the next engine, unless it was taken out.
  if (vm && !foreign ? device.remembered != vm : device.remembered && !state.target && !leaving) {
    device.remembered = vm;
    choice_of(state.device).attached = vm;
    save_choices();
  }
}

void Engine::Impl::start_detach(const VmPtr& vm, const Detach& step) {
  log(LogLevel::debug, "VM {}: deleting {}: {}", step.vm, step.qdev, words(step.reason));
  vm->busy = true; // from now on: the task begins later
  vm->tasks.start(detach(vm, step.qdev, step.sys_path));
}

void Engine::Impl::start_attach(const VmPtr& vm, TrackedUsb& device) {
  const UsbDevice& usb = device.state.device;
  try {
    std::string holder;
    if (!device.claim)
      device.claim = detail::Claim::take(options.runtime_dir / "claims", usb.sys_name, "VM " + vm->state.name, holder);
    if (!device.claim) {
      device.problem = fmt::format("another engine has it: {}", holder);
    } else if (const auto user = device.fresh ? std::nullopt : detail::user_of(usb.device_node)) {
      device.problem = fmt::format("process {} ({}) uses it", user->pid, user->command);
      device.claim = {};
    } else {
      vm->busy = device.busy = true;
      device.fresh = false;
      detail::AttachRequest request;
      request.sys_path = usb.sys_path;
      request.device_node = usb.device_node;
      request.address = {usb.bus, usb.address};
      request.speed = usb.speed;
      request.id = detail::make_qdev_id(request.address, next_id++);
      request.pass_descriptor = vm->pass_descriptors;
      if (device.rule) {
        request.guest_reset = device.rule->guest_reset;
        request.guest_resets_all = device.rule->guest_resets_all;
      }
      vm->tasks.start(attach(vm, usb.sys_path, std::move(request)));
      return;
    }
  } catch (const qemuctl::Error& error) {
    device.problem = error.what();
  }
  device.retry_at = steady_clock::now() + pause_after(++device.failures);
  changed();
}

asio::awaitable<void> Engine::Impl::attach(VmPtr vm, std::string sys_path, detail::AttachRequest request) {
  const detail::Step step(shared_from_this(), vm, sys_path);
  // The engine may let go of it meanwhile.
  const std::shared_ptr<qemuctl::Instance> instance = vm->instance;
  if (!instance) co_return;
  detail::VmUsb usb = vm->usb;
  const std::string id = request.id;
  std::exception_ptr failed;
  try {
    co_await detail::attach_usb(*instance, usb, std::move(request));
  } catch (const qemuctl::Error&) {
    failed = std::current_exception();
  }
  if (vm->instance == instance) vm->usb = std::move(usb);
  if (failed) {
    on_attach_failed(*vm, sys_path, failed);
  } else if (TrackedUsb* device = step.device()) {
    device->failures = 0;
    device->problem.clear();
    log(LogLevel::info, "VM {} has {} now, as {}", vm->state.name, short_description(device->state.device), id);
  }
}

void Engine::Impl::on_attach_failed(TrackedVm& vm, const std::string& sys_path, const std::exception_ptr& failed) {
  const qemuctl::Error error = detail::as_error(failed);
  log(LogLevel::debug, "VM {}: {}", vm.state.name, error.what());
  if (breaks_link(error.code())) disconnect(vm, LinkState::connecting, error.what());
  const auto found = devices.find(sys_path);
  if (found == devices.end()) return;
  TrackedUsb& device = found->second;
  device.claim = {};
  ++device.failures;
  // A VM without a port for it has none the next moment either.
  if (error.code() == errc::not_supported) device.failures = std::max(device.failures, quick_attempts + 1);
  if (device.failures > quiet_failures) device.problem = error.what();
  device.retry_at = steady_clock::now() + pause_after(device.failures);
}

asio::awaitable<void> Engine::Impl::detach(VmPtr vm, std::string qdev, std::string sys_path) {
  const detail::Step step(shared_from_this(), vm, std::move(sys_path));
  const std::shared_ptr<qemuctl::Instance> instance = vm->instance;
  if (!instance) co_return;
  vm->deleting = qdev;
  detail::VmUsb usb = vm->usb;
  std::exception_ptr failed;
  try {
    co_await detail::detach_usb(*instance, usb, qdev, options.command_timeout);
  } catch (const qemuctl::Error&) {
    failed = std::current_exception();
  }
  if (vm->instance == instance) vm->usb = std::move(usb);
  TrackedUsb* device = step.device();
  if (failed) {
    const qemuctl::Error error = detail::as_error(failed);
    log(LogLevel::warning, "VM {}: {}", vm->state.name, error.what());
    // Whatever it was, QEMU knows what it has.
    disconnect(*vm, LinkState::connecting, error.what());
  } else {
    if (device && device->state.target != vm->state.name) device->claim = {};
    log(LogLevel::info, "VM {} has {} no more", vm->state.name,
        device ? short_description(device->state.device) : qdev);
  }
}

asio::awaitable<void> Engine::Impl::look_again(VmPtr vm) {
  const detail::Step step(shared_from_this(), vm);
  const std::shared_ptr<qemuctl::Instance> instance = vm->instance;
  vm->stale = false;
  if (!instance) co_return;
  std::exception_ptr failed;
  try {
    detail::VmUsb usb = co_await detail::look_at_usb(*instance);
    if (vm->instance == instance) vm->usb = std::move(usb);
  } catch (const qemuctl::Error&) {
    failed = std::current_exception();
  }
  if (failed && vm->instance == instance) disconnect(*vm, LinkState::connecting, detail::as_error(failed).what());
}

} // namespace hotplug
