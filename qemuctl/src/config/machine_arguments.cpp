// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "../nearest_word.hpp"
#include "command_line_parts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace qemuctl::detail {

namespace {

/// A file in flash memory.
void add_flash(CommandLineParts& parts, const std::string& node, const std::string& path, bool read_only) {
  Json file = Json::object({{"driver", "file"}, {"filename", path}, {"read-only", read_only}});
  parts.blockdev(
      Json::object({{"driver", "raw"}, {"node-name", node}, {"read-only", read_only}, {"file", std::move(file)}}));
}

/// virtiofsd and other vhost-user programs map the guest's memory.
bool needs_shared_memory(const VmConfig& config) {
  return std::ranges::any_of(config.shares, [](const ShareConfig& share) { return share.type == "virtiofs"; });
}

/// The memory's size, and where it is unless QEMU's default will do. The property for `-machine`.
std::string add_memory(CommandLineParts& parts) {
  const MemoryConfig& memory = parts.config.memory;
  parts.option("-m", fmt::format("{}M", memory.size_mib));
  if (memory.lock) parts.option("-overcommit", "mem-lock=on");
  MemoryBackendConfig backend = memory.backend.value_or(MemoryBackendConfig());
  if (!memory.backend) {
    if (!needs_shared_memory(parts.config)) return {};
    backend.type = "memfd";
    backend.share = true;
  }
  Json object = Json::object({{"qom-type", "memory-backend-" + backend.type},
                              {"id", memory_id},
                              {"size", memory.size_mib << 20},
                              {"share", backend.share}});
  if (backend.prealloc) object.set("prealloc", true);
  if (backend.type == "file") object.set("mem-path", backend.path);
  parts.object("memory.backend.type", std::move(object));
  return fmt::format(",memory-backend={}", memory_id);
}

/// The property for `-machine`.
std::string add_firmware(CommandLineParts& parts) {
  const MachineConfig& machine = parts.config.machine;
  if (!parts.config.efi) {
    std::string options;
    if (!machine.pflash0.empty()) options += ",pflash0=" + machine.pflash0;
    if (!machine.pflash1.empty()) options += ",pflash1=" + machine.pflash1;
    return options;
  }
  const EfiConfig& efi = *parts.config.efi;
  if (parts.machine.is_microvm() || parts.machine.arch == GuestArch::s390x)
    parts.invalid("efi", fmt::format("firmware for a machine {}", in_quotes(parts.machine.type)),
                  "no efi, as that machine has no flash memory");
  if (efi.code.empty()) {
    parts.invalid("efi.code", "is missing; Instance::launch finds it, a command line alone needs it");
    return {};
  }
  add_flash(parts, "pflash0", efi.code, true);
  std::string options = ",pflash0=pflash0";
  if (!efi.vars.empty()) {
    add_flash(parts, "pflash1", efi.vars, false);
    options += ",pflash1=pflash1";
  }
  if (!efi.secure_boot) return options;
  // Without SMM the guest could write the variables itself (OVMF's README, "SMM support").
  if (!parts.machine.is_q35())
    parts.invalid("efi.secureBoot", fmt::format("machine {}", in_quotes(parts.machine.type)), "a q35 machine");
  parts.option("-global", "driver=cfi.pflash01,property=secure,value=on");
  return options + ",smm=on";
}

/// A word that is none of `known`, in quotes, and the one that may be meant.
std::string with_nearest(const std::string& word, const std::vector<std::string>& known) {
  const std::string near = nearest_word(word, known);
  return in_quotes(word) + (near.empty() ? "" : fmt::format("; did you mean {}?", in_quotes(near)));
}

/// "9.1" of "pc-q35-9.1", if that is newer than this QEMU; otherwise empty.
std::string version_of_machine(const QemuInfo& qemu, const std::string& type) {
  const std::string version = type.substr(type.rfind('-') + 1);
  int major = 0, minor = 0, end = 0;
  if (std::sscanf(version.c_str(), "%d.%d%n", &major, &minor, &end) != 2 ||
      static_cast<std::size_t>(end) != version.size())
    return {};
  return std::pair(major, minor) > std::pair(qemu.version.major, qemu.version.minor) ? version : std::string();
}

void add_cpu(CommandLineParts& parts) {
  const CpuConfig& cpu = parts.config.cpu;
  const auto& models = parts.qemu.cpu_models;
  if (!models.empty() && !cpu.model.empty() && !std::binary_search(models.begin(), models.end(), cpu.model))
    parts.missing_in_qemu("cpu.model", "CPU model " + with_nearest(cpu.model, models));
  const std::string model = cpu_option(parts.config, parts.qemu, parts.context.accel);
  if (!model.empty()) parts.option("-cpu", model);
  if (model.empty() && !cpu.features.empty()) parts.invalid("cpu.features", "need a cpu.model on this architecture");
  if (!cpu.sockets && !cpu.cores && !cpu.threads) return;
  std::string smp = fmt::format("cpus={}", cpu.count());
  if (cpu.sockets) smp += fmt::format(",sockets={}", cpu.sockets);
  if (cpu.cores) smp += fmt::format(",cores={}", cpu.cores);
  if (cpu.threads) smp += fmt::format(",threads={}", cpu.threads);
  parts.option("-smp", smp);
}

/// Options of the form "key=value,...".
class Options {
 public:
  void add(std::string_view key, std::string_view value) {
    text_ += fmt::format("{}{}={}", text_.empty() ? "" : ",", key, value);
  }
  void add_if_given(std::string_view key, std::string_view value) {
    if (!value.empty()) add(key, value);
  }
  const std::string& text() const noexcept { return text_; }

 private:
  std::string text_;
};

void add_boot(CommandLineParts& parts) {
  const BootConfig& boot = parts.config.boot;
  Options options;
  options.add_if_given("order", boot.order);
  if (boot.menu) options.add("menu", on_off(*boot.menu));
  if (boot.strict) options.add("strict", "on");
  if (!options.text().empty()) parts.option("-boot", options.text());
  if (!boot.kernel.empty()) parts.option("-kernel", boot.kernel);
  if (!boot.initrd.empty()) parts.option("-initrd", boot.initrd);
  if (!boot.append.empty()) parts.option("-append", boot.append);
}

void add_rtc(CommandLineParts& parts) {
  const RtcConfig& rtc = parts.config.rtc;
  Options options;
  options.add_if_given("base", rtc.base);
  options.add_if_given("clock", rtc.clock);
  options.add_if_given("driftfix", rtc.drift_fix);
  // The interrupts that could be lost are those of the PC's own clock.
  if (rtc.drift_fix == "slew" && parts.machine.arch != GuestArch::x86)
    parts.invalid("rtc.driftFix", in_quotes(rtc.drift_fix), "\"none\", as only x86 machines have it");
  if (!options.text().empty()) parts.option("-rtc", options.text());
}

/// What a machine has for this version of TPM.
std::string tpm_device(const GuestMachine& machine, const std::string& version) {
  if (machine.arch == GuestArch::x86) return version == "2.0" ? "tpm-crb" : "tpm-tis";
  if (machine.is_virt()) return "tpm-tis-device";
  return "tpm-spapr";
}

void add_tpm(CommandLineParts& parts) {
  if (!parts.config.tpm) return;
  const TpmConfig& tpm = *parts.config.tpm;
  const std::string chardev = fmt::format("{}-chardev", tpm_id);
  const int fd = parts.descriptor("tpm");
  parts.chardev(fd >= 0 ? fmt::format("socket,id={},fd={}", chardev, fd)
                        : fmt::format("socket,id={},path={}", chardev, escape_option(tpm.state_dir + "/swtpm.sock")));
  parts.option("-tpmdev", fmt::format("emulator,id={0}-backend,chardev={1}", tpm_id, chardev));
  const std::string driver = tpm.model.empty() ? tpm_device(parts.machine, tpm.version) : tpm.model;
  // A CRB device speaks TPM 2.0 only (TCG PC Client Platform TPM Profile, 6.5.3).
  if (driver == "tpm-crb" && tpm.version != "2.0")
    parts.invalid("tpm.model", "\"tpm-crb\", which has no TPM 1.2", "\"tpm-tis\"");
  parts.device("tpm.model",
               Json::object({{"driver", driver}, {"id", tpm_id}, {"tpmdev", fmt::format("{}-backend", tpm_id)}}));
}

} // namespace

void add_general(CommandLineParts& parts) {
  const VmConfig& config = parts.config;
  if (!config.name.empty()) parts.option("-name", fmt::format("guest={},debug-threads=on", escape_option(config.name)));
  parts.option("-no-user-config");
  if (config.no_defaults) parts.option("-nodefaults");
  if (parts.context.paused) parts.option("-S");
}

void add_machine(CommandLineParts& parts) {
  const MachineConfig& machine = parts.config.machine;
  const std::vector<std::string>& accels = parts.qemu.accelerators;
  if (!accels.empty() && std::find(accels.begin(), accels.end(), parts.context.accel) == accels.end())
    parts.missing("machine.accel", fmt::format("this QEMU ({}) was built without {}; it has {}",
                                               parts.qemu.path.string(), parts.context.accel, listed(accels, "and")));
  const std::string& type = parts.machine.type;
  const auto& types = parts.qemu.machines;
  if (!types.empty() && !type.empty() && !std::binary_search(types.begin(), types.end(), type)) {
    const std::string since = version_of_machine(parts.qemu, type);
    parts.missing_in_qemu("machine.type", "machine " + (since.empty() ? with_nearest(type, types) : in_quotes(type)),
                          since);
  }
  std::string options = (type.empty() ? "" : escape_option(type) + ",") + "accel=" + parts.context.accel;
  if (machine.usb) options += ",usb=" + on_off(*machine.usb);
  if (machine.dump_guest_core) options += ",dump-guest-core=" + on_off(*machine.dump_guest_core);
  options += add_firmware(parts);
  options += add_memory(parts);
  parts.option("-machine", options);
  add_cpu(parts);
  add_boot(parts);
  add_rtc(parts);
  add_tpm(parts);
}

void add_balloon(CommandLineParts& parts) {
  if (parts.config.balloon)
    parts.device("balloon",
                 Json::object({{"driver", "virtio-balloon" + parts.machine.virtio_suffix()}, {"id", balloon_id}}));
}

void add_monitors(CommandLineParts& parts) {
  const auto monitor = [&](const std::string& id, const std::string& socket) {
    parts.chardev(fmt::format("socket,id={},{}", id, socket));
    // QEMU 11.1 warns of -mon.
    if (parts.qemu.has_object("monitor-qmp"))
      parts.object("", Json::object({{"qom-type", "monitor-qmp"}, {"id", id}, {"chardev", id}}));
    else
      parts.option("-mon", fmt::format("chardev={},mode=control", id));
  };
  const CommandLineContext& context = parts.context;
  if (context.control_fd >= 0) monitor("qemuctl-control", fmt::format("fd={}", context.control_fd));
  if (context.monitor_fd >= 0)
    monitor("qmp", fmt::format("fd={},server=on,wait=off", context.monitor_fd));
  else if (!context.monitor_path.empty())
    monitor("qmp", fmt::format("path={},server=on,wait=off", escape_option(context.monitor_path)));
}

} // namespace qemuctl::detail
