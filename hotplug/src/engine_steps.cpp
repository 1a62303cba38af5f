// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// Steps: a few commands that attach or detach a device, or query a VM.
#include "engine_impl.hpp"
#include "pci_port.hpp"

#include <hotplug/explanation.hpp>
#include <qemuctl/error.hpp>

#include <algorithm>
#include <optional>
#include <utility>

namespace hotplug {

using detail::Detach;
using detail::longest_quick_pause;
using detail::time_point;
using detail::TrackedDevice;
using detail::TrackedVm;
using detail::VmPtr;
using qemuctl::errc;
using std::chrono::steady_clock;

namespace {

constexpr std::chrono::milliseconds first_pause{50}, long_pause{30'000};
constexpr int quick_attempts = 8;
/// This many consecutive failures are normal for a device in reset, and are not reported.
constexpr int quiet_failures = 2;

std::chrono::milliseconds pause_after(int failures) {
  if (failures > quick_attempts) return long_pause;
  return std::min(first_pause * (1 << std::min(failures, 10)), longest_quick_pause);
}

/// Whether the connection is lost or the VM does not answer; the command may have been carried out.
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

/// The process that prevents the attachment by using the device; nullopt: none, or QEMU will report it.
std::optional<detail::DeviceUser> used_by_other(const TrackedDevice& device) {
  // Several processes may read an input device.
  if (device.fresh || kind_of(device.state.device) != DeviceKind::usb) return std::nullopt;
  return detail::user_of(device_node_of(device.state.device));
}

} // namespace

detail::Problem::Problem(const qemuctl::Error& error) : kind(ProblemKind::refused), text(error.what()) {
  if (error.code() == errc::not_supported) kind = ProblemKind::no_place;
  if (breaks_link(error.code())) kind = ProblemKind::timeout;
}

detail::Step::Step(std::shared_ptr<Engine::Impl> engine, VmPtr vm, std::string sys_path)
    : engine_(std::move(engine)), vm_(std::move(vm)), sys_path_(std::move(sys_path)) {
  if (vm_) vm_->busy = true;
  if (TrackedDevice* of_step = device()) of_step->busy = true;
}

detail::Step::~Step() {
  if (!engine_) return; // moved
  if (vm_) {
    vm_->busy = false;
    vm_->deleting.clear();
  }
  if (TrackedDevice* of_step = device()) of_step->busy = false;
  engine_->changed();
}

TrackedDevice* detail::Step::device() const {
  const auto found = engine_->devices.find(sys_path_);
  return found == engine_->devices.end() ? nullptr : &found->second;
}

void Engine::Impl::start_detach(const VmPtr& vm, const Detach& step) {
  log(LogLevel::debug, "VM {}: deleting {}: {}", step.vm, step.qdev, words(step.reason));
  const auto qdev = std::ranges::find(vm->has.devices, step.qdev, &detail::Qdev::id);
  vm->tasks.start(detach(detail::Step(shared_from_this(), vm, step.sys_path), *qdev));
}

void Engine::Impl::start_attach(const VmPtr& vm, TrackedDevice& device) {
  const std::string& sys_path = sys_path_of(device.state.device);
  try {
    // Of PCI devices those that are not taken yet are looked at with their group.
    detail::Problem obstacle;
    if (kind_of(device.state.device) == DeviceKind::usb)
      obstacle = take_obstacle(vm->state.name, device);
    else
      obstacle = take_claim(device, "VM " + vm->state.name);
    // Other problems stay visible until they are known to be over.
    if (!obstacle.empty() || device.problem.kind == ProblemKind::guarded) device.problem = obstacle;
    if (!obstacle.empty()) {
      // the host's, or another engine's
    } else if (kind_of(device.state.device) == DeviceKind::pci && !prepare_pci(vm->state.name, vm->state.pid, device)) {
      if (device.problem.empty()) return; // what it takes is on its way
    } else if (const auto* usb = std::get_if<UsbDevice>(&device.state.device);
               usb && !usb->authorized && authorization_of(device)) {
      return; // it is going to be, and then looked at again
    } else if (const auto user = used_by_other(device)) {
      device.problem = {ProblemKind::in_use, fmt::format("process {} ({}) uses it", user->pid, user->command)};
      device.claim = {};
    } else if (kind_of(device.state.device) == DeviceKind::usb && start_probe(device)) {
      return; // and then looked at again
    } else {
      device.fresh = false;
      vm->tasks.start(attach(detail::Step(shared_from_this(), vm, sys_path), attach_request(*vm, device)));
      return;
    }
  } catch (const qemuctl::Error& error) {
    device.problem = detail::Problem(error);
  }
  note_failure(device);
  changed();
}

detail::AttachRequest Engine::Impl::attach_request(const TrackedVm& vm, const TrackedDevice& device) {
  detail::AttachRequest request;
  request.device = device.state.device;
  request.id = detail::new_qdev_id(request.device, next_id++);
  request.pass_descriptor = vm.pass_descriptors;
  request.timeout = options.command_timeout;
  request.rom_file = device.wish.rom_file;
  if (!device.state.rule) return request;
  if (kind_of(request.device) == DeviceKind::usb) {
    const UsbRule& rule = rules.usb().rules().at(*device.state.rule);
    request.guest_reset = rule.guest_reset;
    request.guest_resets_all = rule.guest_resets_all;
  } else if (kind_of(request.device) == DeviceKind::input) {
    request.port_prefix = rules.input().rules().at(*device.state.rule).port_prefix;
  }
  return request;
}

asio::awaitable<void> Engine::Impl::attach(detail::Step step, detail::AttachRequest request) {
  const VmPtr vm = step.vm();
  // The engine may drop its reference meanwhile.
  const std::shared_ptr<qemuctl::Instance> instance = vm->instance;
  if (!instance) co_return;
  detail::VmDevices has = vm->has;
  const std::string id = request.id;
  std::optional<qemuctl::Error> failed;
  try {
    co_await detail::attach_device(*instance, has, std::move(request));
  } catch (const qemuctl::Error& error) {
    failed = error;
  }
  if (vm->instance == instance) vm->has = std::move(has);
  if (failed) {
    on_attach_failed(*vm, step.device(), *failed);
  } else if (TrackedDevice* device = step.device()) {
    device->failures = 0;
    device->problem.clear();
    log(LogLevel::info, "VM {} has {} now, as {}", vm->state.name, short_description(device->state.device), id);
    const time_point now = steady_clock::now();
    if (kind_of(device->state.device) != DeviceKind::usb && now < vm->booting_until)
      vm->to_verify.emplace(id, now + options.verify_after);
  }
}

void Engine::Impl::on_attach_failed(TrackedVm& vm, TrackedDevice* device, const qemuctl::Error& error) {
  log(LogLevel::debug, "VM {}: {}", vm.state.name, error.what());
  if (breaks_link(error.code())) disconnect(vm, LinkState::connecting, error.what());
  if (!device) return;
  device->claim = {};
  // QEMU may already have it, added through another monitor, for which there is no event.
  if (error.code() == errc::command_failed) vm.stale = true;
  // A VM without a free port will not have one a moment later.
  if (error.code() == errc::not_supported) device->failures = std::max(device->failures, quick_attempts);
  note_failure(*device);
  // Only USB devices are sometimes in reset.
  const bool quiet = kind_of(device->state.device) == DeviceKind::usb && device->failures <= quiet_failures;
  if (!quiet) device->problem = detail::Problem(error);
}

void Engine::Impl::note_failure(TrackedDevice& device) {
  // No quick retries: the end of the host's use, such as an unmount, is noticed.
  if (device.problem.kind == ProblemKind::guarded) device.failures = std::max(device.failures, quick_attempts);
  ++device.failures;
  // Each attempt costs two driver changes.
  const bool pci = kind_of(device.state.device) == DeviceKind::pci;
  device.retry_at = steady_clock::now() + (!pci                   ? pause_after(device.failures)
                                           : device.failures == 1 ? longest_quick_pause
                                                                  : long_pause);
}

asio::awaitable<void> Engine::Impl::detach(detail::Step step, detail::Qdev qdev) {
  const VmPtr vm = step.vm();
  const std::shared_ptr<qemuctl::Instance> instance = vm->instance;
  if (!instance) co_return;
  const std::string id = qdev.id;
  if (qdev.needs_guest())
    vm->unplugs[id] = {steady_clock::now(), vm->unplugs[id].late, {}};
  else
    vm->deleting = id;
  const bool needs_guest = qdev.needs_guest();
  detail::VmDevices has = vm->has;
  std::optional<qemuctl::Error> failed;
  try {
    co_await detail::detach_device(*instance, has, std::move(qdev), options.command_timeout);
  } catch (const qemuctl::Error& error) {
    failed = error;
  }
  if (vm->instance == instance) vm->has = std::move(has);
  TrackedDevice* device = step.device();
  if (failed) {
    log(LogLevel::warning, "VM {}: {}", vm->state.name, failed->what());
    if (needs_guest && failed->code() == errc::command_failed) { // on a bus that it starts with, it stays
      vm->unplugs[id].refused = failed->what();
      co_return;
    }
    // Whatever the error was, QEMU knows what it has.
    disconnect(*vm, LinkState::connecting, failed->what());
  } else if (std::ranges::find(vm->has.devices, id, &detail::Qdev::id) == vm->has.devices.end()) {
    if (device && device->state.target != vm->state.name) device->claim = {};
    log(LogLevel::info, "VM {} has {} no more", vm->state.name, device ? short_description(device->state.device) : id);
  }
}

asio::awaitable<void> Engine::Impl::verify(detail::Step step, std::string id) {
  const VmPtr vm = step.vm();
  const std::shared_ptr<qemuctl::Instance> instance = vm->instance;
  vm->to_verify.erase(id);
  if (!instance) co_return;
  bool noticed = false;
  std::optional<qemuctl::Error> failed;
  try {
    noticed = co_await detail::is_noticed(*instance, id);
  } catch (const qemuctl::Error& error) {
    failed = error;
  }
  if (vm->instance != instance) co_return;
  if (failed) {
    disconnect(*vm, LinkState::connecting, failed->what());
  } else if (!noticed) {
    log(LogLevel::warning,
        "the guest of VM {} did not detect {}, which was plugged in while it may have been booting: plugging it in "
        "again",
        vm->state.name, id);
    vm->missed.insert(id);
  }
}

asio::awaitable<void> Engine::Impl::look_again(detail::Step step) {
  const VmPtr vm = step.vm();
  const std::shared_ptr<qemuctl::Instance> instance = vm->instance;
  vm->stale = false;
  if (!instance) co_return;
  std::optional<qemuctl::Error> failed;
  try {
    detail::VmDevices has = co_await detail::look_at_devices(*instance);
    if (vm->instance == instance) on_seen(*vm, std::move(has));
  } catch (const qemuctl::Error& error) {
    failed = error;
  }
  if (failed && vm->instance == instance) disconnect(*vm, LinkState::connecting, failed->what());
}

} // namespace hotplug
