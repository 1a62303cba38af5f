// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "problems.hpp"

#include <qemuctl/vm_config.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qemuctl::detail {

/// The words a member of `VmConfig` can have, also those of vm.json.
const std::vector<std::string>& accelerator_words();
const std::vector<std::string>& disk_interface_words();
const std::vector<std::string>& display_words();
const std::vector<std::string>& serial_words();

inline constexpr int max_cpus = 4096;
inline constexpr std::uint64_t max_memory_mib = std::uint64_t{1} << 30; ///< 1 PiB, far above what any QEMU can have

/// Finds what can not be right in `config` whatever the QEMU. Pure.
void check_vm_config(const VmConfig& config, Problems& problems);

bool is_valid_vm_name(std::string_view name) noexcept;

/// The id of each disk and network device: the one given, else the first free of "disk0", "disk1", ... from its own
/// index on.
struct DeviceIds {
  std::vector<std::string> disks, networks;
};
DeviceIds device_ids(const VmConfig& config);

/// @name Ids of the devices that have none in the description
/// @{
inline constexpr std::string_view usb_controller_id = "usb";
inline constexpr std::string_view video_id = "video";
std::string usb_device_id(std::size_t index);
std::string serial_id(std::size_t index);
/// @}

/// QEMU's device for `display.video`, whose usual short names ("vga", "cirrus") are no devices; empty: none.
std::string video_device(std::string_view video);

/// How many devices a USB controller can have without a hub; 0: not known.
int usb_port_count(std::string_view controller) noexcept;

/// The value of `-vnc` for `display.vnc.listen`; nullopt when it can not be understood.
std::optional<std::string> vnc_address(std::string_view listen);

/// Valid UTF-8 and without NUL: what can be both part of JSON and a word of a command line.
bool is_plain_text(std::string_view text) noexcept;

} // namespace qemuctl::detail
