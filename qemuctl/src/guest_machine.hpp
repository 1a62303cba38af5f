// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/qemu_info.hpp>
#include <qemuctl/vm_config.hpp>

#include <cstddef>
#include <optional>
#include <string>

namespace qemuctl::detail {

/// The bus of a machine's own PCI devices, and its free slots.
struct PciRoot {
  std::string bus;
  std::size_t first_slot = 0, last_slot = 0;
  bool express = false; ///< PCI Express: has root ports, and takes no devices while the VM runs
};

enum class GuestArch { x86, arm, riscv, s390x, other };

/// What the rest of a command line needs to know about the machine.
struct GuestMachine {
  GuestArch arch = GuestArch::other;
  std::string type;        ///< for `-machine`; empty: QEMU's default
  bool no_defaults = true; ///< without QEMU's default devices, which occupy slots, too

  /// If known; QEMU itself places the devices of other machines.
  std::optional<PciRoot> pci() const;
  bool is_q35() const;
  bool is_i440fx() const;
  bool is_microvm() const;
  bool is_virt() const;

  /// Machines without a PCI bus have other virtio devices: "-pci", "-ccw" or "-device" (virtio-mmio).
  std::string virtio_suffix() const;
  /// The device of a serial port that is added by `-device`; empty when the ports are part of the machine.
  std::string serial_device() const;
  /// How many serial ports there can be.
  int max_serials() const;
};

/// From `machine.type`, the name of the binary and `arch`, in this order.
GuestMachine guest_machine(const VmConfig& config, const QemuInfo& qemu);

/// The value of `-cpu`: `cpu.model`, by default "host" under KVM and otherwise "max" where QEMU has it, and the
/// features. Empty: QEMU's default.
std::string cpu_option(const VmConfig& config, const QemuInfo& qemu, const std::string& accel);

} // namespace qemuctl::detail
