// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "engine_impl.hpp"

#include <hotplug/explanation.hpp>
#include <qemuctl/error.hpp>
#include <qemuctl/file_descriptor.hpp>

#include <asio/co_spawn.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <fcntl.h>

#include <algorithm>
#include <random>
#include <set>
#include <system_error>
#include <utility>

namespace hotplug {

using detail::TrackedDevice;
using detail::VmPtr;

namespace {

/// A device that switches its mode (from disk to modem, or for a firmware update) is back within this time.
constexpr std::chrono::seconds longest_absence{5}, absence_after_sleep{25};

} // namespace

UsbRules detail::rules_for(const UsbAuthorization& authorization) {
  UsbRule rule;
  rule.allow = authorization.host_allow;
  return UsbRules(std::vector<UsbRule>(authorization.host_allow.empty() ? 0 : 1, rule));
}

Engine::Impl::Impl(asio::any_io_executor io, Config config, EngineOptions chosen)
    : executor(io), options(std::move(chosen)), rules(config), acpi_rules(config.acpi_rules),
      authorization(config.usb_authorization), host_rules(detail::rules_for(authorization)),
      authorization_journal(options.runtime_dir / "usb-authorization"), general(std::move(config.general)),
      flapping(static_cast<std::size_t>(general.max_arrivals_per_minute)), loans(options.runtime_dir / "lent"),
      udev(io), next_id(std::random_device()()), tasks(io,
                                                       [this](std::exception_ptr error) {
                                                         failure = error;
                                                         stopped = true;
                                                         changed();
                                                       }),
      wakeup(io), settled(io) {
  if (general.persistency) {
    file.emplace(general.state_path);
    std::string warning;
    choices = file->load(warning);
    if (!warning.empty()) log(LogLevel::error, "{}", warning);
  }
  for (VmEntry& vm : config.vms) add(std::move(vm));
}

void Engine::Impl::changed() {
  dirty = true;
  wakeup.notify();
}

void Engine::Impl::publish(const Notification& notification) {
  std::erase_if(subscribers, [](const auto& subscriber) { return subscriber.expired(); });
  for (const auto& subscriber : subscribers)
    if (const auto queue = subscriber.lock()) queue->push(notification);
}

void Engine::Impl::add(VmEntry entry, std::shared_ptr<qemuctl::Instance> instance) {
  const auto vm = std::make_shared<detail::TrackedVm>(executor, [this, name = entry.name](std::exception_ptr error) {
    try {
      std::rethrow_exception(error);
    } catch (const std::exception& what) {
      // Nobody follows the device any more, and its state says so.
      if (const VmPtr failed = find_vm(name)) set_link(*failed, LinkState::blocked, what.what());
    }
  });
  vm->state.name = entry.name;
  vm->state.can_start = !entry.config.empty();
  vm->hold = entry.monitor == "hold";
  vm->entry = std::move(entry);
  if (instance) {
    vm->instance = std::move(instance);
    vm->owned = vm->hold = true;
  }
  vms.push_back(vm);
  if (running) vm->tasks.start(serve(vm));
}

VmPtr Engine::Impl::find_vm(const std::string& name) const {
  const auto found = std::find_if(vms.begin(), vms.end(), [&](const VmPtr& vm) { return vm->state.name == name; });
  return found == vms.end() ? nullptr : *found;
}

std::vector<std::string> Engine::Impl::known_vms(const TrackedDevice& device) const {
  std::vector<std::string> known;
  for (const std::string& name : device.state.allowed_vms)
    if (expected.contains(name) || find_vm(name)) known.push_back(name);
  return known;
}

bool Engine::Impl::all_ended() const {
  return !vms.empty() &&
         std::all_of(vms.begin(), vms.end(), [](const VmPtr& vm) { return vm->state.link == LinkState::ended; });
}

bool Engine::Impl::all_returned() const {
  return std::none_of(devices.begin(), devices.end(),
                      [](const auto& entry) { return entry.second.loan && !entry.second.return_failed; });
}

asio::awaitable<void> Engine::Impl::run() {
  const auto self = shared_from_this();
  // A cancelled run still has to wait for the tasks it started.
  co_await asio::this_coro::throw_if_cancelled(false);
  running = true;
  begin_authorization();
  tasks.start(follow_udev());
  tasks.start(follow_mounts());
  for (const VmPtr& vm : vms) vm->tasks.start(serve(vm));
  while (!stopped && !(all_ended() && all_returned()) &&
         (co_await asio::this_coro::cancellation_state).cancelled() == asio::cancellation_type::none) {
    dirty = false;
    const detail::time_point next = reconcile();
    settled.notify();
    try {
      if (!dirty) co_await wakeup.wait_until(next);
    } catch (const std::system_error&) {
      break; // cancelled
    }
  }
  stopped = true;
  co_await asio::this_coro::reset_cancellation_state();
  settled.notify();
  tasks.cancel();
  for (const VmPtr& vm : vms) vm->tasks.cancel();
  co_await tasks.wait_until_empty();
  for (const VmPtr& vm : vms) co_await vm->tasks.wait_until_empty();
  for (const VmPtr& vm : vms) vm->instance.reset();
  co_await give_back_rest();
  if (authorization_claim) co_await restore_authorization();
  try {
    if (choices_changed && file) file->save(choices);
  } catch (const qemuctl::Error& error) {
    log(LogLevel::error, "{}", error.what());
  }
  for (const auto& subscriber : subscribers)
    if (const auto queue = subscriber.lock()) queue->close();
  if (failure) std::rethrow_exception(failure);
}

asio::awaitable<void> Engine::Impl::follow_mounts() {
  qemuctl::FileDescriptor table(::open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC));
  if (!table) co_return;
  asio::posix::stream_descriptor mounts(executor, table.get());
  static_cast<void>(table.release());
  for (;;) {
    co_await mounts.async_wait(asio::posix::stream_descriptor::wait_error, asio::use_awaitable);
    for (auto& [path, device] : devices)
      if (device.problem.kind == ProblemKind::guarded) device.try_at_once();
    changed();
  }
}

asio::awaitable<void> Engine::Impl::follow_udev() {
  for (;;) {
    DeviceEvent event = co_await udev.next();
    on_event(std::move(event));
  }
}

void Engine::Impl::on_event(DeviceEvent event) {
  if (auto* arrived = std::get_if<DeviceArrived>(&event)) {
    on_arrived(std::move(arrived->device), true);
  } else if (const auto* removed = std::get_if<DeviceRemoved>(&event)) {
    on_removed(removed->sys_path);
  } else if (const auto* hub = std::get_if<HubArrived>(&event)) {
    on_hub(hub->hub);
  } else if (auto* snapshot = std::get_if<DeviceSnapshot>(&event)) {
    std::set<std::string> there;
    for (const Device& device : snapshot->devices) there.insert(sys_path_of(device));
    std::vector<std::string> gone;
    for (const auto& [path, device] : devices)
      if (!there.contains(path)) gone.push_back(path);
    for (const std::string& path : gone) on_removed(path);
    const bool plugged = std::exchange(looked, true);
    for (const UsbHub& each : snapshot->hubs) on_hub(each);
    for (Device& device : snapshot->devices) on_arrived(std::move(device), plugged);
    if (!plugged) remove_gone(loans);
  }
  changed();
}

void Engine::Impl::on_arrived(Device device, bool plugged) {
  const std::string path = sys_path_of(device);
  const auto known = devices.find(path);
  if (known != devices.end() && detail::host_key(known->second.state.device) == detail::host_key(device)) {
    // A change: of its driver, or of its authorisation.
    if (known->second.state.device == device) return;
    known->second.state.device = std::move(device);
    apply_rules(known->second);
    // A PCI device changes its driver with every attempt.
    if (kind_of(known->second.state.device) != DeviceKind::pci) known->second.try_at_once();
    return;
  }
  // After a USB reset it has another address and is another device to QEMU; after a mode switch it is another device to
  // everybody. It keeps its place and its VM.
  if (known != devices.end()) on_removed(path);
  const std::optional<std::string> was_in = departed_from(identity_of(device).connector);

  TrackedDevice tracked;
  const detail::Choice* choice = choices.find(device);
  tracked.wish.taken = plugged || options.attach_connected || (choice && choice->attached);
  tracked.wish.ask = plugged && !was_in;
  tracked.fresh = tracked.plugged = plugged;
  if (choice) {
    tracked.wish.chosen = choice->selected;
    tracked.wish.detached = choice->detached;
    tracked.wish.rom_file = choice->rom_file;
    tracked.remembered = choice->attached;
  }
  if (was_in) tracked.wish.current = was_in;
  if (plugged)
    tracked.quarantined_until = flapping.arrived(identity_of(device).connector, std::chrono::steady_clock::now());
  log(LogLevel::info, "{} is there", short_description(device));
  if (kind_of(device) == DeviceKind::pci) tracked.loan = loans.find(sys_name_of(device));
  tracked.state.device = std::move(device);
  const auto [entry, inserted] = devices.insert_or_assign(path, std::move(tracked));
  apply_rules(entry->second);
  for (const Notification& notification : difference(nullptr, &entry->second.state)) publish(notification);
}

void Engine::Impl::on_removed(const std::string& sys_path) {
  const auto found = devices.find(sys_path);
  if (found == devices.end()) return;
  if (found->second.remembered) {
    choice_of(found->second.state.device).attached.reset();
    save_choices();
  }
  const DeviceState& state = found->second.state;
  log(LogLevel::info, "{} is gone", short_description(state.device));
  const detail::Wish& wish = found->second.wish;
  const std::optional<std::string> in = wish.suspended ? wish.current : state.foreign ? std::nullopt : state.vm;
  // Devices that lost power while the host slept take their time.
  const auto grace = wish.suspended ? absence_after_sleep : std::chrono::seconds(0);
  if (in) departures[identity_of(state.device).connector] = {*in, std::chrono::steady_clock::now() + grace};
  for (const Notification& notification : difference(&state, nullptr)) publish(notification);
  const bool was_pci = kind_of(state.device) == DeviceKind::pci;
  if (const auto* usb = std::get_if<UsbDevice>(&state.device))
    authorization_journal.remove(detail::authorization_before(*usb).name());
  if (found->second.loan) loans.remove(found->second.loan->address); // it comes back as a new one, with any driver
  devices.erase(found);
  if (was_pci) apply_pci_rules();
}

std::optional<std::string> Engine::Impl::departed_from(const std::string& connector) {
  const auto oldest = std::chrono::steady_clock::now() - longest_absence;
  std::erase_if(departures, [&](const auto& entry) { return entry.second.when < oldest; });
  const auto found = departures.find(connector);
  if (found == departures.end()) return std::nullopt;
  std::string vm = std::move(found->second.vm);
  departures.erase(found);
  return vm;
}

void Engine::Impl::apply_rules(TrackedDevice& device) {
  if (kind_of(device.state.device) == DeviceKind::pci) return apply_pci_rules();
  Verdict verdict = rules.evaluate(device.state.device);
  device.state.rule = verdict.rule;
  device.state.allowed_vms = std::move(verdict.vms);
}

detail::Choice& Engine::Impl::choice_of(const Device& device) {
  const detail::Choice* known = choices.find(device);
  const bool other_is_there = known && std::any_of(devices.begin(), devices.end(), [&](const auto& entry) {
                                return identity_of(entry.second.state.device) == known->identity;
                              });
  // Same serial number, another port, and the old one is gone: this is that device.
  return choices.entry(device, !other_is_there);
}

void Engine::Impl::save_choices() {
  choices_changed = true;
  if (saving || !file || stopped) return; // at its end the engine saves what is left
  saving = true;
  choices_changed = false;
  tasks.start(write_choices(choices));
}

asio::awaitable<void> Engine::Impl::write_choices(detail::Choices copy) {
  const auto self = shared_from_this();
  // Operations in progress are completed; the engine waits for them.
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  const auto write = [](const detail::StateFile& to, detail::Choices what) -> asio::awaitable<void> {
    to.save(what);
    co_return;
  };
  do {
    std::string problem;
    try {
      co_await asio::co_spawn(disk, write(*file, std::move(copy)), asio::use_awaitable);
    } catch (const std::exception& error) {
      problem = error.what();
    }
    if (!problem.empty()) log(LogLevel::error, "{}", problem);
    copy = choices;
  } while (std::exchange(choices_changed, false));
  saving = false;
  settled.notify();
}

NotificationSubscription::NotificationSubscription() noexcept = default;
NotificationSubscription::NotificationSubscription(NotificationSubscription&&) noexcept = default;
NotificationSubscription& NotificationSubscription::operator=(NotificationSubscription&&) noexcept = default;
NotificationSubscription::~NotificationSubscription() = default;
NotificationSubscription::NotificationSubscription(std::shared_ptr<Queue> queue) noexcept : queue_(std::move(queue)) {}

asio::awaitable<std::optional<Notification>>
NotificationSubscription::next(std::optional<std::chrono::milliseconds> timeout) {
  return qemuctl::detail::next_item(queue_, timeout);
}

Engine::Engine(asio::any_io_executor executor, Config config, EngineOptions options)
    : impl_(std::make_shared<Impl>(std::move(executor), std::move(config), std::move(options))) {}
Engine::Engine(Engine&&) noexcept = default;
Engine& Engine::operator=(Engine&&) noexcept = default;
Engine::~Engine() {
  if (impl_) stop();
}

void Engine::add_vm(std::string name, std::shared_ptr<qemuctl::Instance> instance) {
  if (const VmPtr known = impl_->find_vm(name)) {
    if (known->state.link != LinkState::ended)
      detail::refuse(qemuctl::errc::invalid_argument, "add a VM", "VM " + name, "the engine has a VM of that name");
    known->removed = true;
    std::erase(impl_->vms, known);
  }
  VmEntry entry;
  entry.name = std::move(name);
  entry.pid = instance->pid();
  impl_->add(std::move(entry), std::move(instance));
}

asio::awaitable<void> Engine::run() {
  return impl_->run();
}

void Engine::stop() noexcept {
  impl_->stopped = true;
  impl_->changed();
}

std::vector<DeviceState> Engine::devices() const {
  std::vector<DeviceState> states;
  for (const auto& [path, device] : impl_->devices) states.push_back(device.state);
  return states;
}

std::vector<UsbState> Engine::usb_devices() const {
  std::vector<UsbState> states;
  for (const auto& [path, device] : impl_->devices)
    if (std::optional<UsbState> usb = as_usb(device.state)) states.push_back(std::move(*usb));
  return states;
}

std::vector<VmState> Engine::vms() const {
  std::vector<VmState> states;
  for (const VmPtr& vm : impl_->vms) {
    states.push_back(vm->state);
    states.back().keeps_monitor = vm->hold;
  }
  return states;
}

asio::awaitable<void> Engine::settled(std::chrono::steady_clock::time_point deadline) {
  const std::shared_ptr<Impl> impl = impl_;
  co_await impl->settled.wait_until(deadline);
}

const Rules& Engine::rules() const noexcept {
  return impl_->rules;
}

NotificationSubscription Engine::subscribe(std::size_t capacity) {
  auto queue =
      std::make_shared<NotificationSubscription::Queue>(impl_->executor, capacity, "a notification", "hotplug");
  impl_->subscribers.push_back(queue);
  return NotificationSubscription(std::move(queue));
}

} // namespace hotplug
