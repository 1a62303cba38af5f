// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "check.hpp"

#include <cstdint>
#include <set>
#include <utility>

namespace qemuctl::detail {

namespace {

void check_cpu(Check& check) {
  const CpuConfig& cpu = check.config.cpu;
  // QEMU splits the option at commas and knows no way to write one.
  if (check.text("cpu.model", cpu.model) && cpu.model.find(',') != std::string::npos)
    check.problems.add("cpu.model", in_quotes(cpu.model), "a model without commas; features go to cpu.features");
  if (cpu.model == "host" && check.config.machine.accel == "tcg")
    check.problems.add("cpu.model", "\"host\"", "\"max\" or another model, as only KVM has that one");
  for (std::size_t i = 0; i < cpu.features.size(); ++i) {
    const std::string path = fmt::format("cpu.features[{}]", i);
    const std::string& feature = cpu.features[i];
    if (check.text(path, feature) && (feature.empty() || feature.find(',') != std::string::npos))
      check.problems.add(path, in_quotes(feature), "one feature, such as \"+ssse3\", \"-svm\" or \"pmu=off\"");
  }
  std::int64_t count = 1;
  for (const auto& [path, value] : {std::pair{"cpu.sockets", cpu.sockets}, std::pair{"cpu.cores", cpu.cores},
                                    std::pair{"cpu.threads", cpu.threads}}) {
    if (value < 0 || value > max_cpus)
      check.problems.add(path, std::to_string(value), fmt::format("a number from 1 to {}", max_cpus));
    else if (value > 0)
      count *= value;
  }
  if (count > max_cpus)
    check.problems.add("cpu", fmt::format("{} CPUs (sockets x cores x threads)", count),
                       fmt::format("at most {}", max_cpus));
}

bool shares_memory(const VmConfig& config) {
  for (const ShareConfig& share : config.shares)
    if (share.type == "virtiofs") return true;
  return false;
}

void check_memory(Check& check) {
  const MemoryConfig& memory = check.config.memory;
  if (memory.size_mib < 1 || memory.size_mib > max_memory_mib)
    check.problems.add("memory.size", fmt::format("{} MiB", memory.size_mib),
                       fmt::format("1 to {} MiB", max_memory_mib));
  if (!memory.backend) return;
  const MemoryBackendConfig& backend = *memory.backend;
  check.word("memory.backend.type", backend.type, memory_backend_words());
  if (backend.type == "file")
    check.needed("memory.backend.path", backend.path, "the path of a file, or of a folder with huge pages");
  else
    check.no_effect("memory.backend.path", !backend.path.empty(), "for memory that is not of type \"file\"");
  if (shares_memory(check.config) && !backend.share)
    check.problems.add("memory.backend.share", "false", "true, as the shares of type \"virtiofs\" need it");
}

void check_efi(Check& check) {
  if (!check.config.efi) return;
  const EfiConfig& efi = *check.config.efi;
  check.text("efi.code", efi.code);
  check.text("efi.vars", efi.vars);
  check.text("efi.varsTemplate", efi.vars_template);
  if (!check.config.machine.pflash0.empty())
    check.problems.add("machine.pflash0", "says the same as efi; leave one of them out");
  if (!efi.vars.empty() && efi.vars == efi.vars_template)
    check.problems.add("efi.vars", "the template itself", "a file of this VM's own");
  // Whose boot loaders may run is told by the variables; of firmware that is found the template has them.
  if (efi.secure_boot && !efi.code.empty() && efi.vars.empty() && efi.vars_template.empty())
    check.problems.add("efi.varsTemplate", "nothing",
                       "variables with the keys for efi.secureBoot, as efi.code is given; without both they are found");
}

void check_boot(Check& check) {
  const BootConfig& boot = check.config.boot;
  std::set<char> seen;
  for (const char letter : boot.order) {
    if (letter >= 'a' && letter <= 'p' && seen.insert(letter).second) continue;
    check.problems.add("boot.order", in_quotes(boot.order),
                       "letters from \"a\" to \"p\", each once: \"c\" disk, \"d\" CD-ROM, \"n\" network");
    break;
  }
  check.text("boot.kernel", boot.kernel);
  check.text("boot.initrd", boot.initrd);
  check.text("boot.append", boot.append);
  if (!boot.kernel.empty()) return;
  check.no_effect("boot.initrd", !boot.initrd.empty(), "without boot.kernel");
  check.no_effect("boot.append", !boot.append.empty(), "without boot.kernel");
}

/// "2006-06-17" or "2006-06-17T16:01:21", as far as digits and signs tell.
bool is_moment(std::string_view text) {
  constexpr std::string_view pattern = "0000-00-00T00:00:00";
  if (text.size() != 10 && text.size() != pattern.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool digit = text[i] >= '0' && text[i] <= '9';
    if (pattern[i] == '0' ? !digit : text[i] != pattern[i]) return false;
  }
  return true;
}

void check_rtc(Check& check) {
  const RtcConfig& rtc = check.config.rtc;
  if (!rtc.base.empty() && rtc.base != "utc" && rtc.base != "localtime" && !is_moment(rtc.base))
    check.problems.add("rtc.base", in_quotes(rtc.base), "\"utc\", \"localtime\" or a moment, \"2006-06-17T16:01:21\"");
  check.word("rtc.clock", rtc.clock, rtc_clock_words(), true);
  check.word("rtc.driftFix", rtc.drift_fix, rtc_drift_fix_words(), true);
}

} // namespace

void check_machine(Check& check) {
  const MachineConfig& machine = check.config.machine;
  check.text("machine.type", machine.type);
  check.word("machine.accel", machine.accel, accelerator_words());
  check.id("machine.pflash0", machine.pflash0);
  check.id("machine.pflash1", machine.pflash1);
  check.no_effect("machine.pflash1", machine.pflash0.empty() && !machine.pflash1.empty(), "without machine.pflash0");
  check_cpu(check);
  check_memory(check);
  check_efi(check);
  check_boot(check);
  check_rtc(check);
  if (!check.config.tpm) return;
  check.word("tpm.version", check.config.tpm->version, tpm_version_words());
  check.text("tpm.model", check.config.tpm->model);
  check.text("tpm.stateDir", check.config.tpm->state_dir);
}

} // namespace qemuctl::detail
