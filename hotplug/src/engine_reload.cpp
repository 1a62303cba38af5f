// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// Replacing the configuration while the engine runs.
#include "engine_impl.hpp"

#include <qemuctl/error.hpp>

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

namespace hotplug {

using detail::VmPtr;
using std::chrono::steady_clock;

void Engine::Impl::apply_vms(std::vector<VmEntry> entries) {
  std::vector<VmPtr> kept;
  std::vector<VmEntry> added;
  for (VmEntry& entry : entries) {
    const VmPtr known = find_vm(entry.name);
    if (known && known->entry == entry)
      kept.push_back(known);
    else
      added.push_back(std::move(entry));
  }
  for (const VmPtr& vm : vms)
    if (vm->owned)
      kept.push_back(vm);
    else if (std::find(kept.begin(), kept.end(), vm) == kept.end()) {
      vm->removed = true;
      expected.erase(vm->state.name);
      vm->instance.reset();
      vm->tasks.cancel();
    }
  vms = std::move(kept);
  for (const VmPtr& vm : vms) vm->wakeup.notify(); // the files of those that are waited for may have changed
  for (VmEntry& entry : added) add(std::move(entry));
}

void Engine::Impl::apply_general(GeneralConfig fresh) {
  if (fresh.persistency != general.persistency || fresh.state_path != general.state_path)
    log(LogLevel::warning, "general.persistency, general.statePath: take effect when the service is started again");
  fresh.persistency = general.persistency;
  fresh.state_path = general.state_path;
  flapping.allow(static_cast<std::size_t>(fresh.max_arrivals_per_minute));
  if (fresh.select_timeout != general.select_timeout)
    for (auto& [path, device] : devices) {
      device.select_until.reset();
      if (device.state.select && fresh.select_timeout > 0)
        device.select_until = steady_clock::now() + std::chrono::seconds(fresh.select_timeout);
    }
  general = std::move(fresh);
}

void Engine::Impl::apply_authorization(UsbAuthorization fresh, UsbRules fresh_rules) {
  if (authorization == fresh) return;
  authorization = std::move(fresh);
  host_rules = std::move(fresh_rules);
  if (running) begin_authorization();
}

void Engine::reload(Config config) {
  Impl& impl = *impl_;
  // Errors are reported before anything is changed.
  Rules rules(config);
  UsbRules host_rules = detail::rules_for(config.usb_authorization);
  for (const VmEntry& entry : config.vms)
    if (const VmPtr known = impl.find_vm(entry.name); known && known->owned)
      detail::refuse(qemuctl::errc::invalid_argument, "take another configuration", "VM " + entry.name,
                     "the engine has a VM of that name from its program");
  impl.apply_vms(std::move(config.vms));
  impl.rules = std::move(rules);
  impl.acpi_rules = std::move(config.acpi_rules);
  impl.apply_general(std::move(config.general));
  impl.apply_authorization(std::move(config.usb_authorization), std::move(host_rules));
  for (auto& [path, device] : impl.devices) {
    impl.apply_rules(device);
    device.wish.left = false;
    device.try_at_once();
  }
  impl.changed();
}

} // namespace hotplug
