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

/// What the engine knows of a VM's monitor.
enum class LinkState {
  waiting,    ///< QEMU does not run, or its monitor is not there yet
  connecting, ///< or asking what the VM has
  connected,
  yielded, ///< QEMU runs; its monitor is free for others, because there is nothing to do
  blocked, ///< somebody else has the monitor, or QEMU does not answer; see `VmState::problem`
  ended,   ///< a VM known by its PID has ended, and will not come back
};

/// "waiting", ...
std::string_view to_string(LinkState state) noexcept;

struct VmState {
  std::string name;
  LinkState link = LinkState::waiting;
  /// What QEMU said last, which of a monitor that was given back may be long ago; how it ended, as far as that was
  /// seen.
  qemuctl::VmStatus status;
  std::optional<int> pid; ///< of QEMU, when it runs and the kernel tells
  std::string problem;    ///< what is in the way, with what to do about it; empty: nothing
  bool can_start = false; ///< it has a vm.json, for `Engine::start_vm`
  /// Its monitor stays connected while it runs; otherwise it is free for others between our commands.
  bool keeps_monitor = false;
  bool operator==(const VmState&) const = default;
};

/// What kind of reason keeps a device from where it is to be.
enum class ProblemKind {
  none,
  refused,  ///< QEMU did not take it, or did not let go of it
  timeout,  ///< QEMU gave no answer
  unplug,   ///< its guest has not let go of it
  no_place, ///< its VM has no port for it
  guarded,  ///< the host uses it
  in_use,   ///< another engine or process has it
  group,    ///< others of its IOMMU group
  kernel,   ///< it did not change its driver, or whether the host may use it
  rom_file, ///< it cannot be read
  left,     ///< its guest let go of it, and nobody had asked for that
  flapping, ///< it came and went too often
};

/// "refused", "no-place", ...; empty for `none`.
std::string_view to_string(ProblemKind kind) noexcept;

/// Where a device is, where it is to be, and why the two differ.
struct Placement {
  std::vector<std::string> allowed_vms;  ///< of the rule that decides; empty: it stays with the host
  std::optional<std::size_t> rule;       ///< which one that is, of those for its kind
  bool iommu_member = false;             ///< that rule takes it only because another of its IOMMU group goes to that VM
  std::optional<std::string> target;     ///< the VM it is to be in; unset: none
  std::optional<std::string> vm;         ///< the VM that has it, as QEMU shows
  bool foreign = false;                  ///< somebody else put it there; it is left alone
  bool detached = false;                 ///< a person took it out, and until a person attaches it it stays out
  bool suspended = false;                ///< it is out until `Engine::resume`
  std::optional<std::string> returns_to; ///< the VM that it is in again after that
  std::optional<std::string> chosen;     ///< the VM that a person chose last, now or earlier
  bool select = false;                   ///< a person has to choose among `allowed_vms`
  std::string degraded;                  ///< why it is not where it is to be; empty: it is, or is on its way
  ProblemKind problem = ProblemKind::none; ///< the kind of reason that is
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

/// The same for those who want USB devices only; nullopt: it is another one.
std::optional<UsbState> as_usb(const DeviceState& state);

} // namespace hotplug
