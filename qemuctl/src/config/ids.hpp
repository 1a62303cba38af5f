// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// The ids of the objects that a description creates in QEMU.
#pragma once

#include <qemuctl/vm_config.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace qemuctl::detail {

/// @name Ids of devices that are unique or numbered
/// @{
inline constexpr std::string_view usb_controller_id = "usb";
inline constexpr std::string_view usb_tablet_id = "usb-tablet";
inline constexpr std::string_view video_id = "video";
inline constexpr std::string_view sound_id = "sound0";
inline constexpr std::string_view scsi_controller_id = "scsi";
inline constexpr std::string_view virtio_serial_id = "virtio-serial";
inline constexpr std::string_view balloon_id = "balloon";
inline constexpr std::string_view vsock_id = "vsock";
inline constexpr std::string_view tpm_id = "tpm";
inline constexpr std::string_view vnc_password_id = "vnc-password";
inline constexpr std::string_view spice_password_id = "spice-password";
inline constexpr std::string_view guest_agent_id = "guest-agent";
inline constexpr std::string_view spice_agent_id = "spice-agent";
inline constexpr std::string_view memory_id = "ram";
std::string usb_device_id(std::size_t index);
std::string serial_id(std::size_t index);
std::string host_device_id(std::size_t index);
std::string share_id(std::size_t index);
std::string virtio_serial_port_id(std::size_t index);
/// SATA controllers that are not part of the machine.
std::string sata_controller_id(std::size_t index);
/// An empty root port for hot plugging, from 0 on.
std::string hotplug_port_id(std::size_t index);
/// @}

/// @name What the agents in the guest look for
/// @{
inline constexpr std::string_view guest_agent_port = "org.qemu.guest_agent.0";
inline constexpr std::string_view spice_agent_port = "com.redhat.spice.0";
/// @}

/// The id of each device that may have one in the description: the one given, else the first free of "disk0", "disk1",
/// ... from its own index on.
struct DeviceIds {
  std::vector<std::string> disks, cdroms, networks;
};
DeviceIds device_ids(const VmConfig& config);

/// @name Objects of a disk, whose own id is `id`
/// @{
std::string throttle_group_id(const DiskConfig& disk, const std::string& id);
std::string nbd_credentials_id(const std::string& id);
/// @}

/// QEMU's rule for ids (util/id.c, id_wellformed).
bool is_qemu_id(std::string_view id) noexcept;

} // namespace qemuctl::detail
