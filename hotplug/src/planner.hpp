// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "qdev.hpp"

#include <optional>
#include <string>
#include <vector>

namespace hotplug::detail {

/// A device of the host and where it is to be.
struct PlannedDevice {
  std::string sys_path;
  HostKey key;
  std::optional<std::string> target;
};

/// A VM and what QEMU shows of it.
struct PlannedVm {
  std::string name;
  std::vector<Qdev> devices;
};

/// Put a device into a VM.
struct Attach {
  std::string sys_path, vm;
  bool operator==(const Attach&) const = default;
};

/// Delete a device of QEMU's.
struct Detach {
  enum class Reason {
    gone,      ///< the host's device is not there any more
    unbound,   ///< it is, but QEMU is not bound to it: it came back, or QEMU never got it
    unwanted,  ///< it is to be somewhere else, or nowhere
    duplicate, ///< the same device is there twice
  };
  std::string vm, qdev;
  Reason reason = Reason::gone;
  std::string sys_path; ///< of the host's device; empty when it is gone
  bool operator==(const Detach&) const = default;
};

/// Which VM has a device.
struct Holding {
  std::string sys_path, vm;
  bool foreign = false; ///< not put there by an engine
  bool operator==(const Holding&) const = default;
};

struct Plan {
  std::vector<Detach> detach;
  std::vector<Attach> attach;
  std::vector<Holding> holding; ///< what is bound now, also what is to be detached
  bool operator==(const Plan&) const = default;
};

/// What is to be done so that each device is where it is to be. Pure.
///
/// Nothing is attached that any VM still has: a move is a detach, and an attach once QEMU does not show it any more.
/// What somebody else attached is not touched and not attached a second time.
Plan make_plan(const std::vector<PlannedDevice>& devices, const std::vector<PlannedVm>& vms);

/// What decides where a device is to be.
struct Wish {
  std::vector<std::string> allowed;   ///< the VMs that the rules allow, in their order
  std::optional<std::string> chosen;  ///< by a person, now or earlier
  std::optional<std::string> current; ///< the VM that it is in
  bool ask = false;                   ///< a person is to choose; otherwise the first is taken
  bool taken = true; ///< it is the engine's to attach: plugged in since it runs, attached by it before, or asked for
  bool detached = false;    ///< a person took it out
  bool suspended = false;   ///< it is out until it is to be resumed
  bool quarantined = false; ///< it came and went too often
  bool left = false;        ///< its guest has let go of it, and nobody had asked
  std::string rom_file;     ///< that a card is to have there; empty: its own ROM
};

/// Where it is to be; nullopt: in no VM. Pure.
std::optional<std::string> target_of(const Wish& wish);

} // namespace hotplug::detail
