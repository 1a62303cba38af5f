// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// The devices that a VM starts with.
#include "engine_impl.hpp"
#include "guest_machine.hpp"
#include "start_devices.hpp"
#include "vfio.hpp"

#include <hotplug/explanation.hpp>
#include <qemuctl/error.hpp>
#include <qemuctl/launch_plan.hpp>

#include <utility>

namespace hotplug {

using detail::StartDevice;
using detail::TrackedDevice;
using qemuctl::errc;
using std::chrono::steady_clock;

namespace {

constexpr const char* preparing = "prepare the devices for the start";
/// The default of `HotplugConfig` on machines that have ports.
constexpr int default_ports = 4;
constexpr const char* port_prefix = "rp"; ///< of the ports that a launched VM has

[[noreturn]] void refuse(errc code, const std::string& vm, std::string reason) {
  detail::refuse(code, preparing, "VM " + vm, std::move(reason));
}

bool has_its_driver(const TrackedDevice& device) {
  const auto* pci = std::get_if<PciDevice>(&device.state.device);
  return !pci || detail::is_for_vms(detail::driver_of(pci->address()));
}

} // namespace

std::set<std::string> Engine::Impl::devices_for_start(const std::string& vm) const {
  std::set<std::string> paths;
  for (const auto& [path, device] : devices) {
    const detail::Wish& wish = device.wish;
    const std::vector<std::string>& allowed = device.state.allowed_vms;
    const bool theirs = device.state.vm && *device.state.vm != vm;
    if (kind_of(device.state.device) == DeviceKind::usb || !device.state.rule || allowed.size() != 1 ||
        allowed.front() != vm || wish.detached || wish.suspended || wish.quarantined || theirs)
      continue;
    paths.insert(path);
  }
  return paths;
}

std::string Engine::Impl::start_obstacle(const std::string& vm, const std::set<std::string>& paths,
                                         std::string& waits_for) {
  for (const std::string& path : paths) {
    const auto found = devices.find(path);
    if (found == devices.end()) continue; // pulled meanwhile
    TrackedDevice& device = found->second;
    const std::string name = short_description(device.state.device);
    if (!device.busy) {
      if (!device.problem.empty()) return fmt::format("{}: {}", name, device.problem.text);
      if (device.state.vm || has_its_driver(device)) continue;
      // Of another device of its group, or of its own.
      if (!prepare_pci(vm, std::nullopt, device) && !device.problem.empty())
        return fmt::format("{}: {}", name, device.problem.text);
    }
    waits_for = name;
  }
  return {};
}

asio::awaitable<StartArguments> Engine::Impl::request_start_arguments(std::string vm, StartOptions how) {
  const auto self = shared_from_this();
  const auto deadline = steady_clock::now() + options.request_timeout;
  const auto has_looked = [&](bool late) { return looked || stopped || late; };
  if (!has_looked(false)) co_await wait_for(deadline, has_looked);
  const std::set<std::string> paths = devices_for_start(vm);
  expected.insert(vm);
  for (const std::string& path : paths) {
    TrackedDevice& device = devices.at(path);
    device.wish.taken = true;
    device.wish.left = false;
    device.promised_until = steady_clock::now() + options.request_timeout;
    device.try_at_once();
    device.problem.clear();
    ++device.request;
  }
  changed();
  std::string problem;
  const auto ended = [&](bool late) {
    if (stopped) refuse(errc::aborted, vm, "the engine ends");
    std::string waits_for;
    problem = start_obstacle(vm, paths, waits_for);
    if (problem.empty() && late && !waits_for.empty()) problem = "not ready in time: " + waits_for;
    return !problem.empty() || waits_for.empty();
  };
  co_await wait_for(deadline, ended);
  std::vector<StartDevice> ready;
  for (const std::string& path : paths) {
    const auto found = devices.find(path);
    if (found == devices.end()) continue;
    TrackedDevice& device = found->second;
    device.promised_until = steady_clock::now();
    if (!problem.empty() || !device.state.rule) continue;
    *device.promised_until += options.start_timeout;
    ready.push_back({device.state.device, *device.state.rule, detail::new_qdev_id(device.state.device, next_id++),
                     device.wish.rom_file});
  }
  changed();
  if (!problem.empty()) refuse(errc::command_failed, vm, problem);
  StartArguments result = detail::start_arguments(std::move(ready), rules, how);
  const auto warn = [this](const std::string& text) { log(LogLevel::warning, "{}", text); };
  const std::vector<std::string> tables = detail::acpi_arguments(acpi_rules, vm, warn);
  result.arguments.insert(result.arguments.end(), tables.begin(), tables.end());
  co_return result;
}

asio::awaitable<qemuctl::VmConfig> Engine::Impl::with_start_devices(qemuctl::VmConfig config) {
  const auto self = shared_from_this();
  if (!config.hotplug || !config.hotplug->at_start) co_return config;
  // Reports errors before any driver is changed, and tells what the machine has.
  const qemuctl::LaunchPlan plan = co_await qemuctl::plan_launch(config);
  config.name = plan.config.name;
  const auto pci = qemuctl::detail::guest_machine(plan.config, plan.qemu).pci();
  StartOptions how;
  if (pci && pci->express) {
    int& ports = config.hotplug->pcie_ports;
    if (ports < 0) ports = default_ports;
    how.bus_prefix = port_prefix;
    how.first_bus = ports; // as many as are wanted stay empty
    how.input_on_buses = how.json = true;
  }
  StartArguments start = co_await request_start_arguments(config.name, std::move(how));
  config.hotplug->pcie_ports += start.buses;
  if (start.uefi && !config.efi) config.efi.emplace();
  // After the user's own arguments.
  config.extra_args.insert(config.extra_args.end(), start.arguments.begin(), start.arguments.end());
  co_return config;
}

void Engine::Impl::release_start_devices(const std::string& vm) {
  for (const std::string& path : devices_for_start(vm)) devices.at(path).promised_until.reset();
  changed();
}

asio::awaitable<StartArguments> Engine::prepare_start(std::string vm, StartOptions options) {
  return impl_->request_start_arguments(std::move(vm), std::move(options));
}

asio::awaitable<qemuctl::VmConfig> Engine::with_start_devices(qemuctl::VmConfig config) {
  return impl_->with_start_devices(std::move(config));
}

} // namespace hotplug
