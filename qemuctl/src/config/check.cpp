// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "check.hpp"

#include "../nearest_word.hpp"
#include "ids.hpp"

#include <qemuctl/error.hpp>
#include <qemuctl/qemu_info.hpp>

#include <algorithm>

namespace qemuctl::detail {

void Check::word(const std::string& path, const std::string& value, const Words& known, bool optional) {
  if ((optional && value.empty()) || std::find(known.begin(), known.end(), value) != known.end()) return;
  const std::string near = nearest_word(value, known);
  problems.add(path, in_quotes(value),
               listed(known) +
                   (near.empty() || known.size() < 3 ? "" : fmt::format("; did you mean {}?", in_quotes(near))));
}

bool Check::text(const std::string& path, const std::string& value) {
  if (is_plain_text(value)) return true;
  problems.add(path, in_quotes(value), "valid UTF-8 without NUL characters");
  return false;
}

bool Check::needed(const std::string& path, const std::string& value, std::string_view expected) {
  if (!text(path, value)) return false;
  if (value.empty()) problems.add(path, "nothing", expected);
  return !value.empty();
}

void Check::id(const std::string& path, const std::string& value) {
  if (!value.empty() && !is_qemu_id(value))
    problems.add(path, in_quotes(value), "a letter, then letters, digits, \"-\", \".\" or \"_\"");
}

void Check::boot_index(const std::string& owner_path, const std::optional<int>& value) {
  if (!value) return;
  const std::string path = owner_path + ".bootIndex";
  if (*value < 0) problems.add(path, std::to_string(*value), "0 (first) or more");
  const auto [first, inserted] = boot_indexes_.emplace(*value, owner_path);
  if (!inserted)
    problems.add(path, fmt::format("{}, which {} has, too", *value, first->second), "a different one for each device");
}

void Check::own_path(const std::string& path, const std::string& value) {
  if (value.empty()) return;
  const auto [first, inserted] = paths_.emplace(value, path);
  if (!inserted)
    problems.add(path, fmt::format("{}, which {} has, too", in_quotes(value), first->second),
                 "a different one for each");
}

void Check::own_id(std::map<std::string, std::string>& owners, const std::string& path, const std::string& value) {
  const auto [first, inserted] = owners.emplace(value, path);
  if (!inserted)
    problems.add(path + ".id", fmt::format("{}, the id of {}", in_quotes(value), first->second),
                 "a different one for each");
}

void Check::known_id(const std::string& path, const std::string& value, std::string_view what, const Words& known) {
  if (value.empty() || std::find(known.begin(), known.end(), value) != known.end()) return;
  const std::string near = nearest_word(value, known);
  problems.add(path, in_quotes(value),
               known.empty() ? fmt::format("the id of a {0}, and no {0} is described", what)
                             : fmt::format("the id of a {}: {}{}", what, listed(known),
                                           near.empty() ? "" : fmt::format("; did you mean {}?", in_quotes(near))));
}

void Check::no_effect(const std::string& path, bool given, std::string_view without) {
  if (given) problems.add(path, fmt::format("has no effect {}", without));
}

Words secret_ids(const VmConfig& config) {
  Words ids;
  for (const SecretConfig& secret : config.secrets) ids.push_back(secret.id);
  return ids;
}

Words chardev_ids(const VmConfig& config) {
  Words ids;
  for (const ChardevConfig& chardev : config.chardevs) ids.push_back(chardev.id);
  return ids;
}

void check_general(Check& check) {
  const VmConfig& config = check.config;
  if (!config.name.empty() && !is_valid_vm_name(config.name))
    check.problems.add("name", in_quotes(config.name),
                       "1 to 64 letters, digits, \"-\", \"_\" or \".\", the first a letter or digit");
  if (!config.arch.empty()) {
    try {
      qemu_binary_name(config.arch);
    } catch (const Error& error) {
      check.problems.add("arch", fmt::format("{}. {}", error.diagnostics().detail, error.diagnostics().advice));
    }
  }
  check.text("qemuPath", config.qemu_path);
  check.text("socketDir", config.socket_dir);
  for (std::size_t i = 0; i < config.extra_args.size(); ++i) {
    const std::string path = fmt::format("extraArgs[{}]", i);
    const std::string& argument = config.extra_args[i];
    check.text(path, argument);
    if (argument == "-daemonize" || argument == "--daemonize")
      check.problems.add(path, fmt::format("{} cannot be used: the process that is watched would end at once, and "
                                           "QEMU go on unseen. A VM outlives its launcher without it",
                                           in_quotes(argument)));
  }
}

void check_ids(Check& check) {
  const VmConfig& config = check.config;
  std::map<std::string, std::string> owners;
  const auto reserve = [&](std::string_view id, std::string owner) { owners.emplace(id, std::move(owner)); };
  if (config.usb || config.usb_tablet || config.hotplug || !config.usb_devices.empty() || !config.host_devices.empty())
    reserve(usb_controller_id, "the USB controller");
  if (config.usb_tablet) reserve(usb_tablet_id, "the USB tablet");
  if (!video_device(config.display.video.type).empty()) reserve(video_id, "the video device");
  if (config.audio) reserve(sound_id, "the sound card");
  if (config.tpm) reserve(tpm_id, "the TPM");
  if (config.vsock) reserve(vsock_id, "the vsock device");
  if (config.balloon) reserve(balloon_id, "the balloon");
  if (!config.guest_agent.empty()) reserve(guest_agent_id, "the guest agent's port");
  if (config.spice_agent) reserve(spice_agent_id, "the SPICE agent's port");
  reserve(scsi_controller_id, "the SCSI controller");
  reserve(virtio_serial_id, "the virtio-serial controller");
  for (std::size_t i = 0; i < config.usb_devices.size(); ++i)
    reserve(usb_device_id(i), fmt::format("usbDevices[{}]", i));
  for (std::size_t i = 0; i < config.host_devices.size(); ++i)
    reserve(host_device_id(i), fmt::format("hostDevices[{}]", i));
  for (std::size_t i = 0; i < config.shares.size(); ++i) reserve(share_id(i), fmt::format("shares[{}]", i));
  for (std::size_t i = 0; i < config.serials.size(); ++i) reserve(serial_id(i), fmt::format("serials[{}]", i));
  const auto add = [&](std::string_view list, const auto& devices) {
    for (std::size_t i = 0; i < devices.size(); ++i)
      if (!devices[i].id.empty()) check.own_id(owners, fmt::format("{}[{}]", list, i), devices[i].id);
  };
  add("disks", config.disks);
  add("cdroms", config.cdroms);
  add("networks", config.networks);
}

void check_vm_config(const VmConfig& config, Problems& problems) {
  Check check(config, problems);
  check_general(check);
  check_machine(check);
  check_disks(check);
  check_networks(check);
  check_display(check);
  check_characters(check);
  check_devices(check);
  check_ids(check);
}

} // namespace qemuctl::detail
