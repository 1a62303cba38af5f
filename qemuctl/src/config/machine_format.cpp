// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "formats.hpp"

#include <utility>

namespace qemuctl::detail {

Format<MachineConfig> machine_format() {
  using T = MachineConfig;
  return short_or_object<T>(
      text("a machine type"), &T::type,
      object<T>({
          key<T>("type", &T::type, text(),
                 "QEMU's machine type: `q35`, `pc`, `virt`, `pc-q35-7.2`. Default: `q35` on x86, `virt` on ARM "
                 "and RISC-V, QEMU's default elsewhere"),
          key<T>("accel", &T::accel, word(accelerator_words()),
                 "`auto` (the default) uses KVM when a VM really starts with it, and otherwise TCG with a warning"),
          key<T>("usb", &T::usb, boolean(), "The machine's own USB controller. Default: QEMU's"),
          key<T>("dumpGuestCore", &T::dump_guest_core, boolean(),
                 "The guest's memory in core files of QEMU. Default: QEMU's"),
          key<T>("pflash0", &T::pflash0, text(), "A block node of `extraArgs` that is the firmware. `efi` is easier"),
          key<T>("pflash1", &T::pflash1, text(), "A block node of `extraArgs` for the firmware's variables"),
      }));
}

Format<CpuConfig> cpu_format() {
  using T = CpuConfig;
  return short_or_object<T>(
      text("a CPU model"), &T::model,
      object<T>({
          key<T>("model", &T::model, text(),
                 "QEMU's CPU model. Default: `host` under KVM, otherwise `max` where QEMU has it"),
          key<T>("features", &T::features, list_of(text()), "QEMU's words, one each: `+ssse3`, `-svm`, `pmu=off`"),
          key<T>("sockets", &T::sockets, whole_number(1, max_cpus), "Sockets. Default: 1"),
          key<T>("cores", &T::cores, whole_number(1, max_cpus), "Cores of each socket. Default: 1"),
          key<T>("threads", &T::threads, whole_number(1, max_cpus), "Threads of each core. Default: 1"),
      }));
}

namespace {

Format<MemoryBackendConfig> memory_backend_format() {
  using T = MemoryBackendConfig;
  return short_or_object<T>(
      word(memory_backend_words()), &T::type,
      object<T>({
          required(key<T>("type", &T::type, word(memory_backend_words()), "Where the memory is")),
          key<T>("path", &T::path, file_path(),
                 "For `file`: a file, or the folder of a file system with huge pages. Required there"),
          key<T>("share", &T::share, boolean(), "Other processes can map it. Default: false"),
          key<T>("prealloc", &T::prealloc, boolean(), "All of it is allocated before the start. Default: false"),
      }));
}

/// A switch that the Go library writes as a word.
Format<bool> on_or_off() {
  auto words = converted(word({"on", "off"}), [](const std::string& value) { return value == "on"; });
  return either(std::move(words), boolean());
}

} // namespace

Format<MemoryConfig> memory_format() {
  using T = MemoryConfig;
  return short_or_object<T>(
      size_in_mib(1, max_memory_mib), &T::size_mib,
      object<T>({
          key<T>("size", &T::size_mib, size_in_mib(1, max_memory_mib),
                 "A number of MiB, or a string with a unit: `\"2G\"`. Default: 512"),
          key<T>("backend", &T::backend, memory_backend_format(), "Where it is in the host, or only the type of that"),
          key<T>("memLock", &T::lock, on_or_off(), "Nothing of QEMU is ever swapped out. Default: off"),
      }));
}

Format<EfiConfig> efi_format() {
  using T = EfiConfig;
  return object<T>({
      key<T>("code", &T::code, file_path(), "The firmware. Default: the one that the distribution has"),
      key<T>("vars", &T::vars, file_path(),
             "The VM's own variables; a copy of `varsTemplate` when there is no such file. Default with a template: a "
             "file in `/var/lib/qemuctl` for root, otherwise in `~/.local/state/qemuctl`"),
      key<T>("varsTemplate", &T::vars_template, file_path(), "Default: what belongs to the firmware that was found"),
      key<T>("secureBoot", &T::secure_boot, boolean(), "Only signed boot loaders run; q35 only. Default: false"),
  });
}

Format<BootConfig> boot_format() {
  using T = BootConfig;
  return object<T>({
      key<T>("order", &T::order, text(), "QEMU's letters: `c` disk, `d` CD-ROM, `n` network"),
      key<T>("menu", &T::menu, boolean(), "The firmware's boot menu. Default: the firmware's"),
      key<T>("strict", &T::strict, boolean(), "Boot only from devices with a `bootIndex`. Default: false"),
      key<T>("kernel", &T::kernel, file_path(), "A kernel to boot directly"),
      key<T>("initrd", &T::initrd, file_path(), "Its initial RAM disk"),
      key<T>("append", &T::append, text(), "Its command line"),
  });
}

Format<RtcConfig> rtc_format() {
  using T = RtcConfig;
  return object<T>({
      key<T>("base", &T::base, text(), "`utc` (the default), `localtime`, or a moment: `2006-06-17T16:01:21`"),
      key<T>("clock", &T::clock, word(rtc_clock_words()), "What it follows. Default: `host`"),
      key<T>("driftFix", &T::drift_fix, word(rtc_drift_fix_words()), "`slew` makes lost ticks up. Default: `none`"),
  });
}

Format<TpmConfig> tpm_format() {
  using T = TpmConfig;
  return object<T>({
      key<T>("version", &T::version, word(tpm_version_words()), "Default: `2.0`"),
      key<T>("model", &T::model, text(), "QEMU's device: `tpm-crb`, `tpm-tis`, ... Default: what the machine has"),
      key<T>("stateDir", &T::state_dir, file_path(),
             "What the module keeps; made when missing. Default: a folder in `/var/lib/qemuctl` for root, otherwise in "
             "`~/.local/state/qemuctl`"),
  });
}

} // namespace qemuctl::detail
