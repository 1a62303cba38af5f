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

/// Ids of devices in the REST API: "usb-3-1.4", "pci-0000:00:14.3", "input-platform-i8042-serio-0". A device keeps its
/// id as long as it is there, whatever other devices come and go.
class DeviceIds {
 public:
  /// The ids of all present devices, in their order. The id of a device that is gone may be reused.
  std::vector<std::string> of(const std::vector<DeviceState>& devices);
  /// The id of one device, which may be gone already.
  std::string of(const DeviceState& device) const;

 private:
  std::map<std::string, std::string> ids_; ///< by path in sysfs
};

/// Why a VM cannot take devices now; empty: it can.
std::string why_not(const VmState& vm);

/// The caller that a device is shown to.
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

/// What a caller may do.
qemuctl::Json permission_resource(const Rights& rights);

/// All rules, in their order.
qemuctl::Json rule_resources(const Rules& rules);

/// "attached", "moving", "waiting", "problem", ...: the state of a device in one word.
std::string_view state_of(const DeviceState& device);

} // namespace hotplug::detail
