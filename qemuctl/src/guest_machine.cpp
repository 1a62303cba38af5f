// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "guest_machine.hpp"

#include <string_view>

namespace qemuctl::detail {

namespace {

GuestArch arch_of(std::string_view target) {
  // Distributions add to the name ("qemu-system-x86_64-microvm").
  if (target.starts_with("x86_64") || target.starts_with("i386")) return GuestArch::x86;
  if (target.starts_with("aarch64") || target.starts_with("arm")) return GuestArch::arm;
  if (target.starts_with("riscv")) return GuestArch::riscv;
  if (target.starts_with("s390x")) return GuestArch::s390x;
  return GuestArch::other;
}

} // namespace

GuestMachine guest_machine(const VmConfig& config, const QemuInfo& qemu) {
  constexpr std::string_view prefix = "qemu-system-";
  std::string binary = qemu.path.filename().string();
  // A binary may have any name (a wrapper); then the description tells.
  if (!binary.starts_with(prefix)) binary = qemu_binary_name(config.arch);
  GuestMachine machine;
  machine.arch = arch_of(std::string_view(binary).substr(prefix.size()));
  machine.type = config.machine.type;
  machine.no_defaults = config.no_defaults;
  if (machine.type.empty()) {
    if (machine.arch == GuestArch::x86) machine.type = "q35";
    if (machine.arch == GuestArch::arm || machine.arch == GuestArch::riscv) machine.type = "virt";
  }
  return machine;
}

bool GuestMachine::is_q35() const {
  return arch == GuestArch::x86 && (type == "q35" || type.starts_with("pc-q35-"));
}

bool GuestMachine::is_i440fx() const {
  return arch == GuestArch::x86 && (type == "pc" || type.starts_with("pc-i440fx-"));
}

bool GuestMachine::is_microvm() const {
  return arch == GuestArch::x86 && type.starts_with("microvm");
}

bool GuestMachine::is_virt() const {
  return (arch == GuestArch::arm || arch == GuestArch::riscv) && (type == "virt" || type.starts_with("virt-"));
}

std::optional<PciRoot> GuestMachine::pci() const {
  // Slot 0 is the host bridge, the last one of q35 the ICH9, and slot 1 of i440fx the PIIX3. The default devices
  // (a display, a network card) take the first free ones.
  const std::size_t defaults = no_defaults ? 0 : 3;
  if (is_q35()) return PciRoot{"pcie.0", 1 + defaults, 0x1e, true};
  if (is_i440fx()) return PciRoot{"pci.0", 2 + defaults, 0x1f, false};
  if (is_virt()) return PciRoot{"pcie.0", 1 + defaults, 0x1f, true};
  return std::nullopt;
}

std::string GuestMachine::virtio_suffix() const {
  if (arch == GuestArch::s390x) return "-ccw";
  if (is_microvm()) return "-device";
  return "-pci";
}

std::string GuestMachine::serial_device() const {
  return arch == GuestArch::x86 && !is_microvm() ? "isa-serial" : "";
}

int GuestMachine::max_serials() const {
  if (arch == GuestArch::x86) return is_microvm() ? 1 : 4;
  // QEMU ignores what the board has no port for.
  if (is_virt()) return 1;
  return 4;
}

std::string cpu_option(const VmConfig& config, const QemuInfo& qemu, const std::string& accel) {
  std::string option = config.cpu.model;
  if (option.empty()) {
    const GuestArch arch = guest_machine(config, qemu).arch;
    if (accel == "kvm")
      option = "host";
    else if (arch == GuestArch::x86 || arch == GuestArch::arm || arch == GuestArch::s390x)
      option = "max";
  }
  if (option.empty()) return option;
  for (const std::string& feature : config.cpu.features) option += "," + feature;
  return option;
}

} // namespace qemuctl::detail
