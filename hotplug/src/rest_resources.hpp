// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "api_access.hpp"

#include <hotplug/notification.hpp>
#include <hotplug/rules.hpp>
#include <hotplug/state.hpp>
#include <qemuctl/instance.hpp>
#include <qemuctl/json.hpp>

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace hotplug::detail {

/// What the REST API calls devices: "usb-3-1.4", "pci-0000:00:14.3", "input-platform-i8042-serio-0". A device keeps its
/// id from when it is first seen until it is gone, whatever comes and goes beside it.
class DeviceIds {
 public:
  /// Those of all devices there are now, in their order. The id of one that has gone is free for another.
  std::vector<std::string> of(const std::vector<DeviceState>& devices);
  /// That of one device, which may have gone already.
  std::string of(const DeviceState& device) const;

 private:
  std::map<std::string, std::string> ids_; ///< by path in sysfs
};

/// Why a VM can take no device now; empty: it can.
std::string why_not(const VmState& vm);

/// Who looks at a device.
struct Viewer {
  const Rights& rights;
  const std::string& held; ///< see `why_held`
};

/// A device as the REST API shows it, with the entity tag that it has. `device` and `vms` are without what the viewer
/// may not see. Pure.
qemuctl::Json device_resource(const DeviceState& device, const std::string& id, const Viewer& viewer,
                              const std::vector<VmState>& vms, const Rules& rules);

/// A VM, with the ids of the devices that it has. Pure.
qemuctl::Json vm_resource(const VmState& vm, const std::vector<DeviceState>& devices,
                          const std::vector<std::string>& ids);

/// What somebody may do.
qemuctl::Json permission_resource(const Rights& rights);

/// All rules, in their order.
qemuctl::Json rule_resources(const Rules& rules);

/// "attached", "moving", "waiting", "problem", ...: what to say of a device in one word.
std::string_view state_of(const DeviceState& device);

} // namespace hotplug::detail
