// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "formats.hpp"

#include <optional>
#include <string>
#include <utility>

namespace qemuctl::detail {

namespace {

/// A part that is there or not, and often has nothing to say: `true`, or an object.
template<typename T>
Format<std::optional<T>> there_or_not(Format<T> format) {
  auto flag = converted(boolean(), [](bool there) { return there ? std::optional<T>(T()) : std::nullopt; });
  auto whole = converted(std::move(format), [](T value) { return std::optional<T>(std::move(value)); });
  return either(std::move(flag), std::move(whole));
}

Format<bool> balloon_format() {
  struct Balloon {
    bool enabled = true;
  };
  auto whole = converted(object<Balloon>({key<Balloon>("enabled", &Balloon::enabled, boolean(), "Default: true")}),
                         [](Balloon balloon) { return balloon.enabled; });
  return either(boolean(), std::move(whole));
}

Format<VmConfig> vm_format() {
  using T = VmConfig;
  const auto set_accel = [](T& config, bool kvm) { config.machine.accel = kvm ? "auto" : "tcg"; };
  const auto set_cpus = [](T& config, int count) { config.cpu.cores = count; };
  const auto set_vnc = [](T& config, VncConfig vnc) { config.display.vnc = std::move(vnc); };
  const auto set_spice = [](T& config, SpiceConfig spice) { config.display.spice = std::move(spice); };
  const auto nothing = [](T&, const std::string&) {};
  return object<T>({
      key<T>("$schema", nothing, text(), "Where editors find the schema of this file; of no meaning to the VM"),
      key<T>("name", &T::name, text(),
             "1 to 64 letters, digits, `-`, `_` or `.`; it names the sockets. Default: the name of the file"),
      key<T>("arch", &T::arch, text(),
             "`amd64`, `386`, `arm64`, `arm`, `riscv64`, `ppc64`, `ppc64le`, `mips`, `mips64`, `s390x`. Default: the "
             "host's"),
      key<T>("qemuPath", &T::qemu_path, program_path(), "QEMU's binary. Default: searched"),
      key<T>("socketDir", &T::socket_dir, file_path(),
             "The folder of sockets and logs. Default: `/var/run/qemu` for root, otherwise `~/.cache/qemuctl`"),
      key<T>("machine", &T::machine, machine_format(), "The machine, or only its type"),
      instead_of({"machine.accel"}, key<T>("kvm", set_accel, boolean(),
                                           "`true`: KVM if it works, otherwise TCG; `false`: TCG. Default: true")),
      key<T>("cpu", &T::cpu, cpu_format(), "The CPU, or only its model"),
      instead_of(
          {"cpu.sockets", "cpu.cores", "cpu.threads"},
          key<T>("cpus", set_cpus, whole_number(1, max_cpus), "How many CPUs, as cores of one socket. Default: 1")),
      key<T>("memory", &T::memory, memory_format(), "The memory, or only its size"),
      key<T>("efi", &T::efi, there_or_not(efi_format()),
             "UEFI firmware; `true`: the one that the distribution has. Default: the machine's own firmware"),
      key<T>("boot", &T::boot, boot_format(), "What is booted"),
      key<T>("rtc", &T::rtc, rtc_format(), "The real-time clock"),
      key<T>("tpm", &T::tpm, there_or_not(tpm_format()), "A trusted platform module. Default: none"),
      key<T>("disks", &T::disks, list_of(disk_format()), "Disks"),
      instead_of({"disks"}, key<T>("drives", &T::disks, list_of(drive_format()), "Disks in files, in short")),
      key<T>("cdroms", &T::cdroms, list_of(cdrom_format()), "CD-ROM drives, or only the images in them"),
      key<T>("shares", &T::shares, list_of(share_format()), "Folders of the host in the guest"),
      key<T>("networks", &T::networks, list_of(network_format()), "Network devices"),
      instead_of({"networks"},
                 key<T>("networkDevices", &T::networks, list_of(network_device_format()), "Network devices, in short")),
      key<T>("vsock", &T::vsock, vsock_format(), "A socket between guest and host. Default: none"),
      key<T>("display", &T::display, display_format(), "The display, or only its type"),
      instead_of({"display.vnc"}, key<T>("vnc", set_vnc, vnc_format(), "A VNC server, or only its address")),
      instead_of({"display.spice"}, key<T>("spice", set_spice, spice_format(), "A SPICE server")),
      key<T>("audio", &T::audio, audio_format(), "Sound. Default: none"),
      key<T>("serials", &T::serials, list_of(serial_format()), "Serial ports"),
      key<T>("chardevs", &T::chardevs, list_of(chardev_format()), "Character devices for others to use"),
      key<T>("virtioSerial", &T::virtio_serial, virtio_serial_format(), "Ports that the guest knows by name"),
      key<T>("guestAgent", &T::guest_agent, file_path(), "The Unix socket that offers the guest agent. Default: none"),
      key<T>("spiceAgent", &T::spice_agent, boolean(), "Copy and paste over SPICE. Default: false"),
      key<T>("usb", &T::usb, usb_controller_format(),
             "The USB controller, or only its type. Added by itself when something needs one"),
      key<T>("usbDevices", &T::usb_devices, list_of(usb_device_format()), "USB devices of QEMU, or only their types"),
      key<T>("usbTablet", &T::usb_tablet, boolean(), "A pointer that grabs no mouse. Default: false"),
      key<T>("balloon", &T::balloon, balloon_format(), "Memory that the host can ask back. Default: false"),
      key<T>("hostDevices", &T::host_devices, list_of(host_device_format()), "Devices of the host, from the start on"),
      key<T>("hotplug", &T::hotplug, there_or_not(hotplug_format()),
             "Room for devices that are plugged in while the VM runs. Default: none"),
      key<T>("secrets", &T::secrets, list_of(secret_format()), "Passwords and keys that others refer to"),
      key<T>("noDefaults", &T::no_defaults, boolean(), "Leave out QEMU's own default devices. Default: true"),
      key<T>("extraArgs", &T::extra_args, list_of(text()), "Appended to QEMU's command line as they are"),
  });
}

} // namespace

const Format<VmConfig>& vm_config_format() {
  static const Format<VmConfig> format = vm_format();
  return format;
}

} // namespace qemuctl::detail
