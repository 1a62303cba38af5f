// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// PCI devices need more than QEMU: their whole IOMMU group, and vfio-pci as their driver while a VM has them.
#include "engine_impl.hpp"
#include "guard.hpp"
#include "pci_group.hpp"
#include "vfio.hpp"
#include "vm_pci.hpp"

#include <hotplug/explanation.hpp>

#include <asio/this_coro.hpp>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <utility>

namespace hotplug {

using detail::GroupMember;
using detail::Problem;
using detail::time_point;
using detail::TrackedDevice;
using detail::VmPtr;
using std::chrono::steady_clock;

namespace {

constexpr std::chrono::seconds pause_after_failed_return{30}, pause_while_in_use{1};
/// A QEMU that is ending, or has released a device, closes the group within this time.
constexpr std::chrono::seconds time_to_close{30};

/// How long a probe counts that found the kernel using none of the disks.
constexpr std::chrono::seconds probe_lasts{5};

Problem guarded(const std::string& use) {
  if (use.empty()) return {};
  return {ProblemKind::guarded,
          fmt::format(
              "the host uses it: {}; it is attached once that ends, or at once with \"force\": true in its rule", use)};
}

PciDevice* pci_of(TrackedDevice& device) {
  return std::get_if<PciDevice>(&device.state.device);
}

} // namespace

void Engine::Impl::apply_pci_rules() {
  std::vector<PciDevice> all;
  for (auto& [path, device] : devices)
    if (const PciDevice* pci = pci_of(device)) all.push_back(*pci);
  std::map<std::string, detail::PciVerdict> verdicts = detail::decide_pci(all, rules.pci());
  for (auto& [path, device] : devices) {
    const PciDevice* pci = pci_of(device);
    if (!pci) continue;
    detail::PciVerdict& verdict = verdicts[pci->address()];
    device.state.rule = verdict.rule;
    device.state.iommu_member = verdict.member;
    device.state.allowed_vms = verdict.vms;
    device.stays = std::move(verdict.skipped);
  }
}

bool Engine::Impl::is_forced(const TrackedDevice& device) const {
  return device.state.rule && rules.is_forced(kind_of(device.state.device), *device.state.rule);
}

Problem Engine::Impl::host_use(const TrackedDevice& device) const {
  if (is_forced(device)) return {};
  return guarded(detail::host_use_of(sys_path_of(device.state.device)));
}

Problem Engine::Impl::virtual_function_use(const TrackedDevice& device) const {
  if (!std::holds_alternative<PciDevice>(device.state.device)) return {};
  const std::vector<std::string> functions = detail::virtual_functions_of(sys_path_of(device.state.device));
  for (const std::string& address : functions)
    for (const auto& [path, each] : devices) {
      if (sys_name_of(each.state.device) != address) continue;
      const auto& vm = each.state.vm ? each.state.vm : each.state.target;
      if (vm)
        return {ProblemKind::in_use,
                fmt::format("its virtual function {} is VM {}'s, and would be gone with its driver", address, *vm)};
      if (Problem use = host_use(each); !use.empty()) return {use.kind, fmt::format("{}: {}", address, use.text)};
    }
  if (functions.empty() || is_forced(device)) return {};
  // Some drivers leave them in place, and then vfio-pci refuses the card.
  return {ProblemKind::guarded,
          fmt::format("it has virtual functions ({}), which would not come back with its driver: write 0 to its "
                      "sriov_numvfs, or set \"force\": true in its rule",
                      fmt::join(functions, ", "))};
}

Problem Engine::Impl::take_claim(TrackedDevice& device, const std::string& for_whom) {
  if (device.claim) return {};
  const std::string& name = sys_name_of(device.state.device);
  std::string holder;
  device.claim = detail::Claim::take(options.runtime_dir / "claims", name, for_whom, holder);
  if (!device.claim) return {ProblemKind::in_use, fmt::format("another engine has it: {}", holder)};
  // Meanwhile another engine may have taken it from its driver, or returned it.
  if (pci_of(device)) device.loan = loans.find(name);
  return {};
}

Problem Engine::Impl::take_obstacle(const std::string& vm, TrackedDevice& device) {
  if (device.stuck) return {ProblemKind::kernel, "the kernel is still busy with it"};
  if (device.kept_back && device.kept_back->until > steady_clock::now()) return device.kept_back->why;
  if (Problem use = host_use(device); !use.empty()) return use;
  if (Problem use = virtual_function_use(device); !use.empty()) return use;
  return take_claim(device, "VM " + vm);
}

bool Engine::Impl::start_probe(TrackedDevice& device) {
  if (device.probed_until > steady_clock::now()) return false;
  if (is_forced(device)) return false;
  std::vector<std::string> nodes = detail::block_nodes_of(sys_path_of(device.state.device));
  if (nodes.empty()) return false;
  tasks.start(probe(detail::Step(shared_from_this(), nullptr, sys_path_of(device.state.device)), std::move(nodes)));
  return true;
}

asio::awaitable<void> Engine::Impl::probe(detail::Step step, std::vector<std::string> nodes) {
  detail::SysfsOutcome outcome;
  try {
    outcome = co_await detail::probe_block_devices(executor, std::move(nodes), options.driver_timeout);
  } catch (const std::system_error& error) {
    if (detail::is_cancelled(error)) throw;
    outcome.problem = error.what();
  }
  TrackedDevice* device = step.device();
  if (!device) co_return;
  note_stuck(*device, std::move(outcome.stuck));
  if (outcome.problem.empty())
    device->probed_until = steady_clock::now() + probe_lasts;
  else if (outcome.in_use)
    keep_back(*device, guarded(outcome.problem));
  else
    keep_back(*device, {ProblemKind::kernel, "whether the host uses it is not known: " + outcome.problem});
}

void Engine::Impl::keep_back(TrackedDevice& device, Problem problem) {
  device.problem = std::move(problem);
  note_failure(device);
  device.kept_back = {device.retry_at, device.problem};
}

bool Engine::Impl::prepare_pci(const std::string& vm, std::optional<int> pid, TrackedDevice& device) {
  const PciDevice& pci = *pci_of(device);
  device.problem = {ProblemKind::rom_file, detail::rom_file_problem(device.wish.rom_file)};
  if (!device.problem.empty()) return false;
  std::vector<GroupMember> members;
  std::vector<TrackedDevice*> missing;
  for (auto& [path, each] : devices) {
    PciDevice* member = pci_of(each);
    if (!member || (&each != &device && (!member->iommu_group || member->iommu_group != pci.iommu_group))) continue;
    member->driver = detail::driver_of(member->address());
    members.push_back({*member, each.state.target});
    if (each.state.target == vm && !detail::is_for_vms(member->driver)) missing.push_back(&each);
  }
  if (pci.iommu_group)
    for (PciDevice& bridge : detail::bridges_of_group(*pci.iommu_group))
      members.push_back({std::move(bridge), std::nullopt});
  device.problem = {ProblemKind::group, detail::group_obstacle(pci, vm, members)};
  if (!device.problem.empty()) return false;
  if (missing.empty()) {
    for (const detail::DeviceUser& user : detail::users_of(detail::group_node(*pci.iommu_group)))
      if (pid && user.pid != *pid)
        device.problem = {ProblemKind::in_use,
                          fmt::format("process {} ({}) uses its IOMMU group", user.pid, user.command)};
    return device.problem.empty();
  }
  std::erase_if(missing, [](const TrackedDevice* each) { return each->busy; });
  // All or none: no driver is disturbed for a group that cannot go to the VM.
  for (TrackedDevice* each : missing) {
    device.problem = take_obstacle(vm, *each);
    if (device.problem.empty()) continue;
    if (each != &device)
      device.problem.text =
          fmt::format("{} of its IOMMU group: {}", sys_name_of(each->state.device), device.problem.text);
    return false;
  }
  bool probing = false;
  for (TrackedDevice* each : missing) probing = start_probe(*each) || probing;
  if (probing) return false;
  for (TrackedDevice* each : missing)
    tasks.start(lend(detail::Step(shared_from_this(), nullptr, sys_path_of(each->state.device))));
  return false;
}

asio::awaitable<void> Engine::Impl::lend(detail::Step step) {
  // Not interrupted, so that no device is left between two drivers. Every step has a deadline.
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  TrackedDevice* device = step.device();
  if (!device) co_return;
  const PciDevice pci = *pci_of(*device);
  detail::SysfsOutcome outcome;
  try {
    if (!device->loan) {
      const detail::Loan loan{pci.address(), detail::driver_of(pci.address()),
                              detail::driver_override_of(pci.address())};
      loans.add(loan);
      device->loan = loan;
    }
    const int group = pci.iommu_group.value_or(-1);
    outcome = co_await detail::take_for_vfio(executor, pci.address(), group, general.modprobe, options.driver_timeout);
  } catch (const std::system_error& error) {
    outcome.problem = error.what();
  }
  device = step.device();
  if (!device) co_return;
  after_driver_change(*device, std::move(outcome.stuck));
  if (outcome.problem.empty()) {
    log(LogLevel::debug, "{}: {} has it now", pci.address(), detail::vfio_driver);
    co_return;
  }
  keep_back(*device, {ProblemKind::kernel, fmt::format("it cannot be taken from its driver{}{}: {}",
                                                       pci.driver.empty() ? "" : " ", pci.driver, outcome.problem)});
}

void Engine::Impl::after_driver_change(TrackedDevice& device, std::optional<qemuctl::detail::Process> stuck) {
  PciDevice& pci = *pci_of(device);
  pci.driver = detail::driver_of(pci.address());
  note_stuck(device, std::move(stuck));
}

void Engine::Impl::note_stuck(TrackedDevice& device, std::optional<qemuctl::detail::Process> stuck) {
  if (!stuck) return;
  device.stuck = true;
  if (stopped) return; // the next engine finds what the kernel has made of it
  tasks.start(watch_stuck(sys_path_of(device.state.device), std::move(*stuck)));
}

asio::awaitable<void> Engine::Impl::watch_stuck(std::string sys_path, qemuctl::detail::Process process) {
  co_await process.wait();
  const auto found = devices.find(sys_path);
  if (found == devices.end()) co_return;
  log(LogLevel::info, "{}: the kernel is through with it", sys_name_of(found->second.state.device));
  found->second.stuck = false;
  changed();
}

void Engine::Impl::give_back_unused(const std::set<std::string>& held, time_point now, time_point& next) {
  std::map<int, const TrackedDevice*> open_groups; // a VM has a member of it, or one is on its way
  for (const auto& [path, device] : devices) {
    const auto* pci = std::get_if<PciDevice>(&device.state.device);
    if (pci && pci->iommu_group && (device.busy || held.contains(path))) open_groups[*pci->iommu_group] = &device;
  }
  for (auto& [path, device] : devices) {
    if (held.contains(path)) device.promised_until.reset();
    if (!device.loan || device.busy || device.stuck || held.contains(path)) continue;
    if (!leaving && device.promised_until && *device.promised_until > now) {
      next = std::min(next, *device.promised_until);
      continue;
    }
    const VmPtr vm = device.state.target ? find_vm(*device.state.target) : nullptr;
    const LinkState link = vm ? vm->state.link : LinkState::ended;
    const bool soon = link == LinkState::connected || link == LinkState::connecting || link == LinkState::yielded;
    if (soon && device.retry_at <= now) continue; // it is on its way to that VM
    const auto other = open_groups.find(pci_of(device)->iommu_group.value_or(-1));
    if (other != open_groups.end()) {
      if (device.problem.empty() && !other->second->busy)
        device.problem = {ProblemKind::group, fmt::format("it goes back to the host when {} of its IOMMU group does",
                                                          sys_name_of(other->second->state.device))};
      continue;
    }
    if (device.return_at > now) {
      next = std::min(next, device.return_at);
      continue;
    }
    start_give_back(device, now);
    if (!device.busy) next = std::min(next, device.return_at);
  }
}

void Engine::Impl::start_give_back(TrackedDevice& device, time_point now) {
  const PciDevice& pci = *pci_of(device);
  device.return_at = now + pause_after_failed_return;
  const bool claimed = static_cast<bool>(device.claim);
  try {
    device.return_failed = !take_claim(device, "its driver").empty(); // by the other engine, which lives
  } catch (const qemuctl::Error& error) {
    device.return_failed = true;
    device.problem = Problem(error);
  }
  if (device.return_failed || !device.loan) {
    if (!claimed) device.claim = {};
    return;
  }
  // While a QEMU has the group open, the kernel blocks whoever unbinds one of its devices.
  const auto user = pci.iommu_group ? detail::user_of(detail::group_node(*pci.iommu_group)) : std::nullopt;
  if (user) {
    device.return_at = now + pause_while_in_use;
    if (!device.closing_until)
      device.closing_until = now + time_to_close;
    else if (device.problem.empty())
      device.problem = {ProblemKind::in_use,
                        fmt::format("it goes back to the host when process {} ({}) has closed its IOMMU group",
                                    user->pid, user->command)};
    device.return_failed = *device.closing_until <= now;
    if (!claimed) device.claim = {};
    return;
  }
  device.closing_until.reset();
  tasks.start(give_back(detail::Step(shared_from_this(), nullptr, sys_path_of(device.state.device))));
}

asio::awaitable<void> Engine::Impl::give_back_rest() {
  std::set<detail::HostKey> held;
  for (const VmPtr& vm : vms)
    for (const detail::Qdev& qdev : vm->has.devices)
      if (qdev.host) held.insert(*qdev.host);
  for (auto& [path, device] : devices)
    if (device.loan && !device.stuck && !held.contains(detail::host_key(device.state.device)))
      start_give_back(device, steady_clock::now());
  co_await tasks.wait_until_empty();
}

asio::awaitable<void> Engine::Impl::give_back(detail::Step step) {
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation()); // as `lend`
  TrackedDevice* device = step.device();
  if (!device || !device->loan) co_return;
  const detail::Loan loan = *device->loan;
  detail::SysfsOutcome outcome;
  try {
    outcome = co_await detail::give_back(executor, loan, options.driver_timeout);
  } catch (const std::system_error& error) {
    outcome.problem = error.what();
  }
  device = step.device();
  if (!device) co_return;
  after_driver_change(*device, std::move(outcome.stuck));
  device->return_failed = !outcome.problem.empty();
  if (device->return_failed) {
    device->problem = {ProblemKind::kernel, fmt::format("it cannot be given back to the host: {}", outcome.problem)};
    log(LogLevel::error, "{}: {}", loan.address, device->problem.text);
    co_return;
  }
  loans.remove(loan.address);
  device->loan.reset();
  device->return_at = time_point::min();
  if (!device->state.target) device->claim = {};
  const std::string& driver = pci_of(*device)->driver;
  log(LogLevel::info, "{} is back with the host{}{}", loan.address, driver.empty() ? "" : ", driver ", driver);
  if (!loan.driver.empty() && driver != loan.driver)
    log(LogLevel::warning, "{} had the driver {} before, and {} has taken it now", loan.address, loan.driver, driver);
}

} // namespace hotplug
