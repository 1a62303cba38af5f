// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hotplug/device.hpp>
#include <qemuctl/instance.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hotplug {

/// The engine's connection to a VM's monitor.
enum class LinkState {
  waiting,    ///< QEMU is not running, or its monitor does not exist yet
  connecting, ///< or querying the VM's devices
  connected,
  yielded, ///< QEMU is running; its monitor is released because there is nothing to do
  blocked, ///< the monitor is in use by somebody else, or QEMU does not respond; see `VmState::problem`
  ended,   ///< a VM given by its PID has ended
};

/// "waiting", ...
std::string_view to_string(LinkState state) noexcept;

struct VmState {
  std::string name;
  LinkState link = LinkState::waiting;
  /// As last reported by QEMU, which may be long ago for a yielded monitor; after the end, as far as that was observed.
  qemuctl::VmStatus status;
  std::optional<int> pid; ///< of QEMU, while it is running, if known
  std::string problem;    ///< what is wrong and what to do about it; empty: nothing
  bool can_start = false; ///< it has a vm.json, for `Engine::start_vm`
  /// The monitor stays connected while the VM runs; otherwise it is released between our commands.
  bool keeps_monitor = false;
  bool operator==(const VmState&) const = default;
};

/// Why a device is not where it should be.
enum class ProblemKind {
  none,
  refused,  ///< QEMU refused to attach or detach it
  timeout,  ///< QEMU did not answer
  unplug,   ///< the guest has not released it
  no_place, ///< the VM has no free port
  guarded,  ///< in use by the host itself
  in_use,   ///< in use by another engine or process
  group,    ///< blocked by other devices in its IOMMU group
  kernel,   ///< the kernel did not change its driver or authorisation
  rom_file, ///< the ROM file cannot be read
  left,     ///< the guest ejected it without being asked
  flapping, ///< it appeared and vanished too often
};

/// "refused", "no-place", ...; empty for `none`.
std::string_view to_string(ProblemKind kind) noexcept;

/// Where a device is, where it should be, and why the two differ.
struct Placement {
  std::vector<std::string> allowed_vms;    ///< of the deciding rule; empty: stays with the host
  std::optional<std::size_t> rule;         ///< index of the deciding rule among those of its kind
  bool iommu_member = false;               ///< taken only because another device of its IOMMU group is
  std::optional<std::string> target;       ///< the VM it should be in; unset: none
  std::optional<std::string> vm;           ///< the VM that has it, according to QEMU
  bool foreign = false;                    ///< attached by somebody else, and left alone
  bool detached = false;                   ///< detached by the user; stays out until the user attaches it
  bool suspended = false;                  ///< detached until `Engine::resume`
  std::optional<std::string> returns_to;   ///< the VM that it returns to then
  std::optional<std::string> chosen;       ///< the VM that the user chose last, now or earlier
  bool select = false;                     ///< the user has to choose among `allowed_vms`
  std::string degraded;                    ///< why it is not at its target; empty if it is, or is on its way
  ProblemKind problem = ProblemKind::none; ///< the kind of that reason
  bool operator==(const Placement&) const = default;
};

/// A device of the host, of any kind.
struct DeviceState : Placement {
  Device device;
  bool operator==(const DeviceState&) const = default;
};

/// A USB device of the host.
struct UsbState : Placement {
  UsbDevice device;
  bool operator==(const UsbState&) const = default;
};

/// The USB device in it; nullopt for other kinds.
std::optional<UsbState> as_usb(const DeviceState& state);

} // namespace hotplug
