// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "vm_config_format.hpp"

#include "vm_config_check.hpp"

#include <limits>
#include <string>
#include <utility>

namespace qemuctl::detail {

namespace {

constexpr int any_number = std::numeric_limits<int>::max();

Format<MachineConfig> machine() {
  using T = MachineConfig;
  auto type_only = converted(text("a machine type"), [](std::string type) {
    T machine;
    machine.type = std::move(type);
    return machine;
  });
  return either(
      std::move(type_only),
      object<T>({
          key<T>("type", &T::type, text(),
                 "QEMU's machine type: `q35`, `pc`, `virt`, `pc-q35-7.2`. Default: `q35` on x86, `virt` on ARM "
                 "and RISC-V, QEMU's default elsewhere"),
          key<T>("accel", &T::accel, word(accelerator_words()),
                 "`auto` (the default) uses KVM when a VM really starts with it, and otherwise TCG with a warning"),
      }));
}

Format<CpuConfig> cpu() {
  using T = CpuConfig;
  auto model_only = converted(text("a CPU model"), [](std::string model) {
    T cpu;
    cpu.model = std::move(model);
    return cpu;
  });
  return either(
      std::move(model_only),
      object<T>({
          key<T>("model", &T::model, text(),
                 "QEMU's CPU model. Default: `host` under KVM, otherwise `max` where QEMU has it"),
          key<T>("features", &T::features, list_of(text()), "QEMU's words, one each: `+ssse3`, `-svm`, `pmu=off`"),
          key<T>("sockets", &T::sockets, whole_number(1, max_cpus), "Sockets. Default: 1"),
          key<T>("cores", &T::cores, whole_number(1, max_cpus), "Cores of each socket. Default: 1"),
          key<T>("threads", &T::threads, whole_number(1, max_cpus), "Threads of each core. Default: 1"),
      }));
}

Format<MemoryConfig> memory() {
  using T = MemoryConfig;
  auto size_only = converted(size_in_mib(1, max_memory_mib), [](std::uint64_t size) {
    T memory;
    memory.size_mib = size;
    return memory;
  });
  return either(std::move(size_only), object<T>({
                                          key<T>("size", &T::size_mib, size_in_mib(1, max_memory_mib),
                                                 "A number of MiB, or a string with a unit: `\"2G\"`. Default: 512"),
                                      }));
}

Format<BootConfig> boot() {
  using T = BootConfig;
  return object<T>({
      key<T>("order", &T::order, text(), "QEMU's letters: `c` disk, `d` CD-ROM, `n` network"),
      key<T>("menu", &T::menu, boolean(), "The firmware's boot menu. Default: the firmware's"),
      key<T>("strict", &T::strict, boolean(), "Boot only from devices with a `bootIndex`. Default: false"),
      key<T>("kernel", &T::kernel, file_path(), "A kernel to boot directly"),
      key<T>("initrd", &T::initrd, file_path(), "Its initial RAM disk"),
      key<T>("append", &T::append, text(), "Its command line"),
  });
}

Format<FileDiskBackend> disk_backend() {
  using T = FileDiskBackend;
  auto file = object<T>({
      kind_key<T>("type", "file", "A disk image in a file, or a block device of the host"),
      required(key<T>("path", &T::path, file_path(), "The image")),
      key<T>(
          "format", &T::format, text(),
          "`raw`, `qcow2`, `vmdk`, ... Default: what the path ends with (.qcow2, .vmdk, .vdi, .vhdx), otherwise `raw`"),
  });
  return one_of_kinds<T>("type", {{"file", std::move(file)}});
}

Format<DiskConfig> disk() {
  using T = DiskConfig;
  return object<T>({
      key<T>("id", &T::id, text(), "The device's id in QEMU. Default: `disk0`, `disk1`, ..."),
      required(key<T>("backend", &T::backend, disk_backend(), "Where the data are")),
      key<T>("interface", &T::interface, word(disk_interface_words()), "How the guest sees it. Default: `virtio`"),
      key<T>("readOnly", &T::read_only, boolean(), "The guest can not write. Default: false"),
      key<T>("serial", &T::serial, text(), "The serial number the guest sees, at most 20 bytes"),
      key<T>("bootIndex", &T::boot_index, whole_number(0, any_number), "Its place in the boot order, from 0"),
  });
}

Format<UserNetBackend> network_backend() {
  using T = UserNetBackend;
  auto user = object<T>({
      kind_key<T>("type", "user", "NAT in user space, which needs no rights and no preparation"),
      key<T>(
          "hostfwd", &T::host_forwards, list_of(text()),
          "Ports of the host that lead into the guest: `[tcp|udp]:[HOST ADDRESS]:PORT-[GUEST ADDRESS]:PORT`, such as "
          "`tcp::2222-:22`"),
      key<T>("restrict", &T::restrict, boolean(), "The guest reaches nothing but the forwarded ports. Default: false"),
  });
  return one_of_kinds<T>("type", {{"user", std::move(user)}});
}

Format<NetworkConfig> network() {
  using T = NetworkConfig;
  return object<T>({
      key<T>("id", &T::id, text(), "The device's id in QEMU. Default: `net0`, `net1`, ..."),
      key<T>("backend", &T::backend, network_backend(), "What it is connected to. Default: `{\"type\": \"user\"}`"),
      key<T>("model", &T::model, text(),
             "QEMU's device. Default: `virtio-net-pci`; `virtio` is that of the machine's own bus"),
      key<T>("macAddr", &T::mac_address, text(), "The MAC address. Default: QEMU's"),
  });
}

Format<VncConfig> vnc() {
  using T = VncConfig;
  return object<T>({
      key<T>("listen", &T::listen, text(),
             "`none` (the default): clients are handed over by the program; `:N`: display N, TCP port 5900 + N, on all "
             "addresses; `HOST:PORT`: that TCP port, 5900 to 65535"),
      key<T>("password", &T::password, boolean(),
             "Clients need a password; until one is set, nobody is let in. Default: false"),
  });
}

Format<DisplayConfig> display() {
  using T = DisplayConfig;
  // The video device may be an object, as it has more properties than its type.
  auto video = either(text("a video device"),
                      object<std::string>({required(key<std::string>(
                          "type", [](std::string& target, std::string type) { target = std::move(type); }, text(),
                          "QEMU's device, or one of `vga`, `cirrus`, `qxl`, `virtio`, `none`"))}));
  auto type_only = converted(word(display_words()), [](std::string type) {
    T display;
    display.type = std::move(type);
    return display;
  });
  return either(std::move(type_only),
                object<T>({
                    key<T>("type", &T::type, word(display_words()), "Default: `none`"),
                    key<T>("vnc", &T::vnc, vnc(), "For type `vnc`"),
                    key<T>("video", &T::video, std::move(video), "The video device. Default: none"),
                }));
}

Format<SerialConfig> serial() {
  using T = SerialConfig;
  return object<T>({
      key<T>("type", &T::type, word(serial_words()),
             "What it is connected to. Default: `socket`, a Unix socket that QEMU listens on"),
      key<T>("path", &T::path, file_path(),
             "The socket or file. Default for a socket: `<socketDir>/<name>.serial0`, `.serial1`, ..."),
  });
}

/// An object that is often written as nothing but its type.
template<typename T>
Format<T> typed_object(std::string expected, Key<T> type) {
  auto type_only = converted(text(expected), [](std::string word) {
    T value;
    value.type = std::move(word);
    return value;
  });
  return either(std::move(type_only), object<T>({std::move(type)}));
}

Format<UsbControllerConfig> usb_controller() {
  using T = UsbControllerConfig;
  return typed_object<T>("a USB controller", key<T>("type", &T::type, text(), "QEMU's device. Default: `qemu-xhci`"));
}

Format<UsbDeviceConfig> usb_device() {
  using T = UsbDeviceConfig;
  return typed_object<T>("a USB device", required(key<T>("type", &T::type, text(),
                                                         "QEMU's device: `usb-tablet`, `usb-mouse`, `usb-kbd`, ...")));
}

Format<VmConfig> vm() {
  using T = VmConfig;
  const auto set_accel = [](T& config, bool kvm) { config.machine.accel = kvm ? "auto" : "tcg"; };
  const auto set_cpus = [](T& config, int count) { config.cpu.cores = count; };
  return object<T>({
      key<T>("name", &T::name, text(),
             "1 to 64 letters, digits, `-`, `_` or `.`; it names the sockets. Default: the name of the file"),
      key<T>("arch", &T::arch, text(),
             "`amd64`, `386`, `arm64`, `arm`, `riscv64`, `ppc64`, `ppc64le`, `mips`, `mips64`, `s390x`. Default: the "
             "host's"),
      key<T>("qemuPath", &T::qemu_path, program_path(), "QEMU's binary. Default: searched"),
      key<T>("socketDir", &T::socket_dir, file_path(),
             "The folder of sockets and logs. Default: `/var/run/qemu` for root, otherwise `~/.cache/qemuctl`"),
      key<T>("machine", &T::machine, machine(), "The machine, or only its type"),
      instead_of({"machine.accel"}, key<T>("kvm", set_accel, boolean(),
                                           "`true`: KVM if it works, otherwise TCG; `false`: TCG. Default: true")),
      key<T>("cpu", &T::cpu, cpu(), "The CPU, or only its model"),
      instead_of(
          {"cpu.sockets", "cpu.cores", "cpu.threads"},
          key<T>("cpus", set_cpus, whole_number(1, max_cpus), "How many CPUs, as cores of one socket. Default: 1")),
      key<T>("memory", &T::memory, memory(), "The memory, or only its size"),
      key<T>("boot", &T::boot, boot(), "What is booted"),
      key<T>("disks", &T::disks, list_of(disk()), "Disks"),
      key<T>("networks", &T::networks, list_of(network()), "Network devices"),
      key<T>("display", &T::display, display(), "The display, or only its type"),
      key<T>("serials", &T::serials, list_of(serial()), "Serial ports"),
      key<T>("usb", &T::usb, usb_controller(),
             "The USB controller, or only its type. Added by itself when `usbDevices` needs one"),
      key<T>("usbDevices", &T::usb_devices, list_of(usb_device()), "USB devices of QEMU, or only their types"),
      key<T>("noDefaults", &T::no_defaults, boolean(), "Leave out QEMU's own default devices. Default: true"),
      key<T>("extraArgs", &T::extra_args, list_of(text()), "Appended to QEMU's command line as they are"),
  });
}

} // namespace

const Format<VmConfig>& vm_config_format() {
  static const Format<VmConfig> format = vm();
  return format;
}

} // namespace qemuctl::detail
