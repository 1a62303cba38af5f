// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// How the parts of a description are written in vm.json.
#pragma once

#include "../json_format.hpp"
#include "words.hpp"

#include <qemuctl/vm_config.hpp>

#include <cstddef>
#include <limits>
#include <string>
#include <vector>

namespace qemuctl::detail {

inline constexpr int any_number = std::numeric_limits<int>::max();

/// The format of vm.json: the one table of its keys.
const Format<VmConfig>& vm_config_format();

/// @name Its parts
/// @{
Format<MachineConfig> machine_format();
Format<CpuConfig> cpu_format();
Format<MemoryConfig> memory_format();
Format<EfiConfig> efi_format();
Format<BootConfig> boot_format();
Format<RtcConfig> rtc_format();
Format<TpmConfig> tpm_format();
Format<DiskConfig> disk_format();
Format<DiskConfig> drive_format(); ///< the short form
Format<CdromConfig> cdrom_format();
Format<ShareConfig> share_format();
Format<NetworkConfig> network_format();
Format<NetworkConfig> network_device_format(); ///< the short form
Format<VsockConfig> vsock_format();
Format<DisplayConfig> display_format();
Format<VncConfig> vnc_format();
Format<SpiceConfig> spice_format();
Format<AudioConfig> audio_format();
Format<SerialConfig> serial_format();
Format<ChardevConfig> chardev_format();
Format<VirtioSerialConfig> virtio_serial_format();
Format<UsbControllerConfig> usb_controller_format();
Format<UsbDeviceConfig> usb_device_format();
Format<HostDevice> host_device_format();
Format<HotplugConfig> hotplug_format();
Format<SecretConfig> secret_format();
/// @}

/// An object of one kind where there are several: see `one_of_kinds`.
template<typename Variant, typename T>
Format<Variant> as_kind(Format<T> format) {
  return converted(std::move(format), [](T value) { return Variant(std::move(value)); });
}

/// An object that is often written as a single word or value, which goes to `target`.
template<typename T, typename A, typename Target>
Format<T> short_or_object(Format<A> short_form, Target T::*target, Format<T> whole) {
  auto converted_short = converted(std::move(short_form), [target](A value) {
    T result;
    result.*target = std::move(value);
    return result;
  });
  return either(std::move(converted_short), std::move(whole));
}

} // namespace qemuctl::detail
