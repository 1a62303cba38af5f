// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// The words and limits that members of `VmConfig` can have, for the reader of vm.json, the check and the command line.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qemuctl::detail {

using Words = std::vector<std::string>;

const Words& accelerator_words();
const Words& memory_backend_words();
const Words& rtc_clock_words();
const Words& rtc_drift_fix_words();
const Words& tpm_version_words();
const Words& disk_format_words();
const Words& disk_interface_words();
const Words& disk_cache_words();
const Words& disk_discard_words();
const Words& cdrom_interface_words();
const Words& share_words();
const Words& share_security_words();
const Words& display_words();
const Words& spice_image_compression_words();
const Words& spice_wan_compression_words();
const Words& serial_words();
const Words& serial_device_words();
const Words& chardev_words();
const Words& virtio_serial_port_words();
const Words& secret_format_words();

inline constexpr int max_cpus = 4096;
inline constexpr std::uint64_t max_memory_mib = std::uint64_t{1} << 30; ///< 1 PiB, far above any QEMU
inline constexpr std::uint64_t max_throttle = 1'000'000'000'000'000;    ///< QEMU's THROTTLE_VALUE_MAX
inline constexpr int max_port = 65535;
inline constexpr int max_hotplug_ports = 200;
inline constexpr int max_virtio_serial_ports = 31; ///< QEMU's default and maximum

/// QEMU's device for `display.video.type`, whose usual short names ("vga", "cirrus") are no devices; empty: none.
std::string video_device(std::string_view video);

/// How many devices a USB controller can have without a hub; 0: not known.
std::size_t usb_port_count(std::string_view controller) noexcept;

/// The value of `-vnc` for `display.vnc.listen`; nullopt if invalid.
std::optional<std::string> vnc_address(std::string_view listen);

/// Valid UTF-8 without NUL, which fits both JSON and a command line.
bool is_plain_text(std::string_view text) noexcept;

bool is_valid_vm_name(std::string_view name) noexcept;

/// A decimal number from 0 to `max`, without sign or blanks.
std::optional<int> parse_number(std::string_view text, int max) noexcept;

} // namespace qemuctl::detail
