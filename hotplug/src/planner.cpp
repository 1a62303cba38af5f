// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "planner.hpp"

#include <algorithm>
#include <map>
#include <set>

namespace hotplug::detail {

Plan make_plan(const std::vector<PlannedDevice>& devices, const std::vector<PlannedVm>& vms) {
  std::map<HostKey, const PlannedDevice*> by_key;
  for (const PlannedDevice& device : devices) by_key.emplace(device.key, &device);

  Plan plan;
  std::set<std::string> held;    // by any VM, bound or not: not to be attached now
  std::set<std::string> settled; // by the VM that they are to be in
  for (const PlannedVm& vm : vms)
    for (const Qdev& qdev : vm.devices) {
      const auto found = qdev.host ? by_key.find(*qdev.host) : by_key.end();
      const PlannedDevice* device = found == by_key.end() ? nullptr : found->second;
      if (device) held.insert(device->sys_path);
      if (device && qdev.attached) plan.holding.push_back({device->sys_path, vm.name, !qdev.ours});
      if (!qdev.ours) continue;

      const auto remove = [&](Detach::Reason reason) {
        plan.detach.push_back({vm.name, qdev.id, reason, device ? device->sys_path : std::string()});
      };
      if (!device)
        remove(Detach::Reason::gone);
      else if (!qdev.attached)
        remove(Detach::Reason::unbound);
      else if (device->target != vm.name)
        remove(Detach::Reason::unwanted);
      else if (!settled.insert(device->sys_path).second)
        remove(Detach::Reason::duplicate);
    }
  for (const PlannedDevice& device : devices)
    if (device.target && !held.contains(device.sys_path)) plan.attach.push_back({device.sys_path, *device.target});
  return plan;
}

std::optional<std::string> target_of(const Wish& wish) {
  if (!wish.taken || wish.detached || wish.suspended || wish.quarantined || wish.left || wish.allowed.empty())
    return std::nullopt;
  if (wish.allowed.size() == 1) return wish.allowed.front();
  const auto allows = [&](const std::optional<std::string>& vm) {
    return vm && std::find(wish.allowed.begin(), wish.allowed.end(), *vm) != wish.allowed.end();
  };
  if (allows(wish.chosen)) return wish.chosen;
  if (allows(wish.current)) return wish.current;
  if (wish.ask) return std::nullopt;
  return wish.allowed.front();
}

} // namespace hotplug::detail
