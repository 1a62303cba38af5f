// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "qdev.hpp"

#include <optional>
#include <string>
#include <vector>

namespace hotplug::detail {

/// A device of the host and where it should be.
struct PlannedDevice {
  std::string sys_path;
  HostKey key;
  std::optional<std::string> target;
};

/// A VM and its devices as QEMU reports them.
struct PlannedVm {
  std::string name;
  std::vector<Qdev> devices;
};

/// Attach a device to a VM.
struct Attach {
  std::string sys_path, vm;
  bool operator==(const Attach&) const = default;
};

/// Delete a device from a VM.
struct Detach {
  enum class Reason {
    gone,      ///< the host device is gone
    unbound,   ///< QEMU is not bound to it: it came back, or QEMU never got it
    unwanted,  ///< it should be elsewhere, or nowhere
    duplicate, ///< the same host device is attached twice
  };
  std::string vm, qdev;
  Reason reason = Reason::gone;
  std::string sys_path; ///< of the host device; empty when it is gone
  bool operator==(const Detach&) const = default;
};

/// Which VM has a device.
struct Holding {
  std::string sys_path, vm;
  bool foreign = false; ///< attached by somebody else
  bool operator==(const Holding&) const = default;
};

struct Plan {
  std::vector<Detach> detach;
  std::vector<Attach> attach;
  std::vector<Holding> holding; ///< what is bound now, including what is to be detached
  bool operator==(const Plan&) const = default;
};

/// The steps that bring each device to where it should be. Pure.
///
/// A device that any VM still has is not attached: a move is a detach, and an attach once QEMU no longer reports it.
/// Devices attached by somebody else are neither touched nor attached a second time.
Plan make_plan(const std::vector<PlannedDevice>& devices, const std::vector<PlannedVm>& vms);

/// What decides where a device should be.
struct Wish {
  std::vector<std::string> allowed;   ///< the VMs that the rules allow, in their order
  std::optional<std::string> chosen;  ///< by the user, now or earlier
  std::optional<std::string> current; ///< the VM that it is in
  bool ask = false;                   ///< the user has to choose; otherwise the first VM is taken
  bool taken = true; ///< it is the engine's to attach: plugged in since it runs, attached by it before, or asked for
  bool detached = false;    ///< detached by the user
  bool suspended = false;   ///< detached until `resume`
  bool quarantined = false; ///< it appeared and vanished too often
  bool left = false;        ///< its guest ejected it without being asked
  std::string rom_file;     ///< option ROM for a card; empty: its own
};

/// The VM it should be in; nullopt: none. Pure.
std::optional<std::string> target_of(const Wish& wish);

} // namespace hotplug::detail
