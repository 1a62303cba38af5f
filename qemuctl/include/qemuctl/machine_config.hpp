// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace qemuctl {

/// The machine type and what executes the guest's instructions.
struct MachineConfig {
  /// QEMU's machine type: "q35", "pc", "virt", "pc-q35-7.2". Empty: "q35" on x86, "virt" on ARM and RISC-V, QEMU's
  /// default elsewhere.
  std::string type;
  /// "auto", "kvm", "tcg". `auto` uses KVM if a VM really starts with it, otherwise TCG, with a warning.
  std::string accel = "auto";
  std::optional<bool> usb;             ///< the machine's own USB controller; unset: QEMU's default
  std::optional<bool> dump_guest_core; ///< guest memory in QEMU's core files; unset: QEMU's default
  /// Block nodes, created by `VmConfig::extra_args`, for the machine's flash memory. Usually `EfiConfig` is simpler.
  std::string pflash0;
  std::string pflash1; ///< needs `pflash0`
  bool operator==(const MachineConfig&) const = default;
};

struct CpuConfig {
  std::string model;                 ///< empty: "host" under KVM, else "max" if QEMU has it, else QEMU's default
  std::vector<std::string> features; ///< QEMU's words: "+ssse3", "-svm", "pmu=off"
  int sockets = 0;                   ///< each 0 (unset, counts as 1) to 4096; so is their product
  int cores = 0;
  int threads = 0;
  bool operator==(const CpuConfig&) const = default;

  /// Virtual CPUs: the product of the three.
  int count() const noexcept { return (sockets ? sockets : 1) * (cores ? cores : 1) * (threads ? threads : 1); }
};

/// The host memory that backs the guest's.
struct MemoryBackendConfig {
  std::string type = "ram"; ///< "ram", "memfd", "file"
  std::string path;         ///< for "file": a file, or a folder (of a hugetlbfs) in which QEMU creates an unnamed one
  bool share = false;       ///< other processes can map it (vhost-user, virtiofs)
  bool prealloc = false;    ///< allocate all of it before the guest runs
  bool operator==(const MemoryBackendConfig&) const = default;
};

struct MemoryConfig {
  std::uint64_t size_mib = 512; ///< MiB, at least 1
  std::optional<MemoryBackendConfig> backend;
  bool lock = false; ///< QEMU is never swapped out; needs RLIMIT_MEMLOCK or CAP_IPC_LOCK
  bool operator==(const MemoryConfig&) const = default;
};

/// UEFI firmware in flash memory.
struct EfiConfig {
  /// The firmware. Empty: found by the descriptor files of the distribution (QEMU's docs/interop/firmware.json).
  std::string code;
  /// The VM's variable store, copied from `vars_template` before the start if it does not exist. Empty with a template:
  /// `<default_state_dir()>/<name>.efi-vars`; empty without one: the VM has no variable store.
  std::string vars;
  std::string vars_template; ///< empty: the one that belongs to the `code` found
  /// Run only signed boot loaders. Needs a q35 machine; firmware is then searched for with keys enrolled.
  bool secure_boot = false;
  bool operator==(const EfiConfig&) const = default;
};

struct BootConfig {
  std::string order;        ///< QEMU's letters: "c" disk, "d" CD-ROM, "n" network
  std::optional<bool> menu; ///< the firmware's boot menu
  bool strict = false;      ///< boot only from devices with a boot index
  std::string kernel;       ///< path; direct kernel boot
  std::string initrd;       ///< path; needs `kernel`
  std::string append;       ///< the kernel's command line; needs `kernel`
  bool operator==(const BootConfig&) const = default;
};

/// The real-time clock.
struct RtcConfig {
  std::string base;      ///< "utc", "localtime" or a date, "2006-06-17T16:01:21"; empty: "utc"
  std::string clock;     ///< "host", "rt", "vm"; empty: "host"
  std::string drift_fix; ///< "slew", "none"; empty: "none". x86 only
  bool operator==(const RtcConfig&) const = default;
};

/// A trusted platform module, emulated by swtpm, which starts and ends with the VM.
struct TpmConfig {
  std::string version = "2.0"; ///< "2.0" or "1.2"
  std::string model;           ///< "tpm-crb", "tpm-tis", ...; empty: the machine's device for this version
  std::string state_dir;       ///< the module's state, created if missing. Empty: `<default_state_dir()>/<name>.tpm`
  bool operator==(const TpmConfig&) const = default;
};

} // namespace qemuctl
