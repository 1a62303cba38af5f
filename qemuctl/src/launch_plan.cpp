// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "accelerator.hpp"
#include "config/check.hpp"
#include "config/command_line_parts.hpp"
#include "config/files_check.hpp"
#include "firmware.hpp"

#include <qemuctl/command_line.hpp>
#include <qemuctl/launch_plan.hpp>

#include <fmt/format.h>

#include <filesystem>
#include <random>
#include <utility>

namespace qemuctl {

namespace {

constexpr const char* operation = "plan the launch";

std::string subject_of(const VmConfig& config) {
  return "VM " + config.name;
}

/// QEMU's word for the architecture of a binary.
std::string target_of(const VmConfig& config, const QemuInfo& qemu) {
  constexpr std::string_view prefix = "qemu-system-";
  std::string name = qemu.path.filename().string();
  if (!name.starts_with(prefix)) name = qemu_binary_name(config.arch);
  return name.substr(prefix.size());
}

void fill_in_firmware(VmConfig& config, const QemuInfo& qemu, detail::Problems& problems) {
  EfiConfig& efi = *config.efi;
  if (efi.code.empty()) {
    const detail::FirmwareNeeds needs{target_of(config, qemu), detail::guest_machine(config, qemu).type,
                                      efi.secure_boot};
    const auto firmware = detail::find_firmware(detail::firmware_folders(), needs);
    if (!firmware) {
      problems.add("efi.code",
                   fmt::format("no UEFI firmware{} for {} on {} is installed (Debian has it in ovmf, "
                               "qemu-efi-aarch64, ...); give its path here",
                               efi.secure_boot ? " with keys for Secure Boot" : "", needs.machine, needs.architecture));
      return;
    }
    efi.code = firmware->code;
    if (efi.vars_template.empty()) efi.vars_template = firmware->vars_template;
  }
  if (efi.vars.empty() && !efi.vars_template.empty())
    efi.vars = (std::filesystem::path(default_state_dir()) / (config.name + ".efi-vars")).string();
}

/// What the description leaves open and does not depend on the QEMU.
void fill_in(VmConfig& config) {
  if (config.name.empty()) config.name = fmt::format("vm-{:08x}", std::random_device{}());
  // Absolute, so that the paths handed out stay right whatever becomes of the working directory.
  config.socket_dir =
      std::filesystem::absolute(config.socket_dir.empty() ? default_socket_dir() : config.socket_dir).string();
  for (DiskConfig& disk : config.disks) disk.read_only = detail::is_read_only(disk);
  if (config.tpm && config.tpm->state_dir.empty())
    config.tpm->state_dir = (std::filesystem::path(default_state_dir()) / (config.name + ".tpm")).string();
}

} // namespace

asio::awaitable<LaunchPlan> plan_launch(VmConfig config) {
  detail::Problems invalid, unsupported, absent;
  detail::check_vm_config(config, invalid);
  invalid.throw_if_any(errc::invalid_argument, operation, config.name.empty() ? "" : subject_of(config));
  fill_in(config);

  LaunchPlan plan;
  std::filesystem::path binary = find_qemu(config.arch, config.qemu_path);
  plan.qemu = co_await probe_qemu(std::move(binary));
  if (config.efi) fill_in_firmware(config, plan.qemu, absent);
  detail::find_missing_files(config, absent);
  detail::find_missing_interfaces(config, absent);
  detail::find_missing_host_devices(config, absent);

  CommandLineContext context;
  context.monitor_path = (std::filesystem::path(config.socket_dir) / (config.name + ".sock")).string();
  context.accel = config.machine.accel;
  // The choice does not change what can be wrong, and needs a description that is right.
  if (context.accel == "auto")
    context.accel = plan.qemu.has_accelerator("tcg") ? "tcg" : plan.qemu.accelerators.front();
  if (absent.empty() || !config.efi || !config.efi->code.empty())
    detail::build_command_line(config, plan.qemu, context, invalid, unsupported);
  detail::Problems all = invalid;
  all.append(unsupported);
  all.append(absent);
  const errc code = !invalid.empty()       ? errc::invalid_argument
                    : !unsupported.empty() ? errc::not_supported
                                           : errc::not_found;
  all.throw_if_any(code, operation, subject_of(config));

  detail::AcceleratorChoice choice = co_await detail::choose_accelerator(config, plan.qemu);
  if (choice.accel == "tcg" && config.cpu.model == "host") {
    unsupported.add("cpu.model", "\"host\"", "\"max\" or another model: only KVM has that one, and does not work here");
    unsupported.throw_if_any(errc::not_supported, operation, subject_of(config));
  }
  if (!choice.warning.empty()) plan.warnings.push_back(std::move(choice.warning));
  plan.accel = context.accel = choice.accel;
  plan.command_line = build_command_line(config, plan.qemu, context);
  plan.config = std::move(config);
  co_return plan;
}

} // namespace qemuctl
