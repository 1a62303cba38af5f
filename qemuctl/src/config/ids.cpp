// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "ids.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace qemuctl::detail {

std::string usb_device_id(std::size_t index) {
  return fmt::format("usb-device{}", index);
}
std::string serial_id(std::size_t index) {
  return fmt::format("serial{}", index);
}
std::string host_device_id(std::size_t index) {
  return fmt::format("host-device{}", index);
}
std::string share_id(std::size_t index) {
  return fmt::format("share{}", index);
}
std::string virtio_serial_port_id(std::size_t index) {
  return fmt::format("{}-port{}", virtio_serial_id, index);
}
std::string sata_controller_id(std::size_t index) {
  return fmt::format("sata{}", index);
}
std::string hotplug_port_id(std::size_t index) {
  return fmt::format("rp{}", index);
}

std::string throttle_group_id(const DiskConfig& disk, const std::string& id) {
  return disk.throttle && !disk.throttle->group.empty() ? disk.throttle->group : id + "-throttle";
}

std::string nbd_credentials_id(const std::string& id) {
  return id + "-tls";
}

DeviceIds device_ids(const VmConfig& config) {
  std::set<std::string> taken;
  for (const DiskConfig& disk : config.disks) taken.insert(disk.id);
  for (const CdromConfig& cdrom : config.cdroms) taken.insert(cdrom.id);
  for (const NetworkConfig& network : config.networks) taken.insert(network.id);
  const auto choose = [&](const auto& devices, std::string_view prefix) {
    std::vector<std::string> ids;
    for (std::size_t i = 0; i < devices.size(); ++i) {
      std::string id = devices[i].id;
      for (std::size_t number = i; id.empty(); ++number)
        if (std::string candidate = fmt::format("{}{}", prefix, number); taken.insert(candidate).second) id = candidate;
      ids.push_back(std::move(id));
    }
    return ids;
  };
  DeviceIds ids;
  ids.disks = choose(config.disks, "disk");
  ids.cdroms = choose(config.cdroms, "cdrom");
  ids.networks = choose(config.networks, "net");
  return ids;
}

bool is_qemu_id(std::string_view id) noexcept {
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  return !id.empty() && is_letter(id[0]) && std::all_of(id.begin(), id.end(), [&](char c) {
    return is_letter(c) || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
  });
}

} // namespace qemuctl::detail
