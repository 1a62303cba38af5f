// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "vm_config_check.hpp"

#include "nearest_word.hpp"
#include "utf8.hpp"

#include <qemuctl/qemu_info.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

namespace qemuctl::detail {

namespace {

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// QEMU's rule for ids (util/id.c, id_wellformed).
bool is_qemu_id(std::string_view id) {
  return !id.empty() && is_letter(id[0]) && std::all_of(id.begin(), id.end(), [](char c) {
    return is_letter(c) || is_digit(c) || c == '-' || c == '.' || c == '_';
  });
}

/// A decimal number from 0 to `max`, without sign or blanks.
std::optional<int> parse_number(std::string_view text, int max) {
  int number = 0;
  if (text.empty() || !is_digit(text[0])) return std::nullopt;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number > max) return std::nullopt;
  return number;
}

/// The part of `rest` before `separator`, which is removed with it; nullopt when there is no `separator`.
std::optional<std::string_view> take_until(std::string_view& rest, char separator) {
  const std::size_t at = rest.find(separator);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view part = rest.substr(0, at);
  rest.remove_prefix(at + 1);
  return part;
}

/// [tcp|udp]:[HOST ADDRESS]:PORT-[GUEST ADDRESS]:PORT
bool is_host_forward(std::string_view text) {
  const auto protocol = take_until(text, ':');
  if (!protocol || (*protocol != "" && *protocol != "tcp" && *protocol != "udp")) return false;
  if (!take_until(text, ':')) return false;
  const auto host_port = take_until(text, '-');
  if (!host_port || !parse_number(*host_port, 65535)) return false;
  if (!take_until(text, ':')) return false;
  return parse_number(text, 65535).value_or(0) > 0;
}

/// Six bytes in hexadecimal, separated by colons; not a group address, and not all zero, which QEMU takes as "none
/// given".
bool is_mac_address(std::string_view text) {
  if (text.size() != 17) return false;
  bool zero = true;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (i % 3 == 2) {
      if (text[i] != ':') return false;
      continue;
    }
    const char c = text[i];
    if (!is_digit(c) && !(c >= 'a' && c <= 'f') && !(c >= 'A' && c <= 'F')) return false;
    if (c != '0') zero = false;
  }
  unsigned first = 0;
  std::from_chars(text.data(), text.data() + 2, first, 16);
  return !zero && first % 2 == 0;
}

class Check {
 public:
  Check(const VmConfig& config, Problems& problems) : config_(config), problems_(problems) {}

  void run() {
    vm();
    machine();
    memory();
    boot();
    disks();
    networks();
    display();
    serials();
    usb();
    ids();
  }

 private:
  void word(const std::string& path, const std::string& value, const std::vector<std::string>& known) {
    if (std::find(known.begin(), known.end(), value) != known.end()) return;
    const std::string near = nearest_word(value, known);
    problems_.add(path, in_quotes(value),
                  listed(known) +
                      (near.empty() || known.size() < 3 ? "" : fmt::format("; did you mean {}?", in_quotes(near))));
  }

  /// Says so and returns false when `value` can not be passed to QEMU at all.
  bool text(const std::string& path, const std::string& value) {
    if (is_plain_text(value)) return true;
    problems_.add(path, in_quotes(value), "valid UTF-8 without NUL characters");
    return false;
  }

  void id(const std::string& path, const std::string& value) {
    if (!value.empty() && !is_qemu_id(value))
      problems_.add(path, in_quotes(value), "a letter, then letters, digits, \"-\", \".\" or \"_\"");
  }

  void vm() {
    if (!config_.name.empty() && !is_valid_vm_name(config_.name))
      problems_.add("name", in_quotes(config_.name),
                    "1 to 64 letters, digits, \"-\", \"_\" or \".\", the first a letter or digit");
    if (!config_.arch.empty()) {
      try {
        qemu_binary_name(config_.arch);
      } catch (const Error& error) {
        problems_.add("arch", error.diagnostics().detail);
      }
    }
    text("qemuPath", config_.qemu_path);
    text("socketDir", config_.socket_dir);
    for (std::size_t i = 0; i < config_.extra_args.size(); ++i)
      text(fmt::format("extraArgs[{}]", i), config_.extra_args[i]);
  }

  void machine() {
    text("machine.type", config_.machine.type);
    word("machine.accel", config_.machine.accel, accelerator_words());
    const CpuConfig& cpu = config_.cpu;
    // QEMU splits the option at commas and knows no way to write one.
    if (text("cpu.model", cpu.model) && cpu.model.find(',') != std::string::npos)
      problems_.add("cpu.model", in_quotes(cpu.model), "a model without commas; features go to cpu.features");
    for (std::size_t i = 0; i < cpu.features.size(); ++i) {
      const std::string path = fmt::format("cpu.features[{}]", i);
      if (text(path, cpu.features[i]) && (cpu.features[i].empty() || cpu.features[i].find(',') != std::string::npos))
        problems_.add(path, in_quotes(cpu.features[i]), "one feature, such as \"+ssse3\", \"-svm\" or \"pmu=off\"");
    }
    std::int64_t count = 1;
    for (const auto& [path, value] : {std::pair{"cpu.sockets", cpu.sockets}, std::pair{"cpu.cores", cpu.cores},
                                      std::pair{"cpu.threads", cpu.threads}}) {
      if (value < 0 || value > max_cpus)
        problems_.add(path, std::to_string(value), fmt::format("a number from 1 to {}", max_cpus));
      else if (value > 0)
        count *= value;
    }
    if (count > max_cpus)
      problems_.add("cpu", fmt::format("{} CPUs (sockets x cores x threads)", count),
                    fmt::format("at most {}", max_cpus));
  }

  void memory() {
    const std::uint64_t size = config_.memory.size_mib;
    if (size < 1 || size > max_memory_mib)
      problems_.add("memory.size", fmt::format("{} MiB", size), fmt::format("1 to {} MiB", max_memory_mib));
  }

  void boot() {
    const BootConfig& boot = config_.boot;
    std::set<char> seen;
    for (const char letter : boot.order) {
      if (letter >= 'a' && letter <= 'p' && seen.insert(letter).second) continue;
      problems_.add("boot.order", in_quotes(boot.order),
                    "letters from \"a\" to \"p\", each once: \"c\" disk, \"d\" CD-ROM, \"n\" network");
      break;
    }
    text("boot.kernel", boot.kernel);
    text("boot.initrd", boot.initrd);
    text("boot.append", boot.append);
    if (boot.kernel.empty() && !boot.initrd.empty()) problems_.add("boot.initrd", "has no effect without boot.kernel");
    if (boot.kernel.empty() && !boot.append.empty()) problems_.add("boot.append", "has no effect without boot.kernel");
  }

  void disks() {
    std::map<int, std::size_t> boot_indexes;
    for (std::size_t i = 0; i < config_.disks.size(); ++i) {
      const DiskConfig& disk = config_.disks[i];
      const std::string path = fmt::format("disks[{}]", i);
      id(path + ".id", disk.id);
      if (text(path + ".backend.path", disk.backend.path) && disk.backend.path.empty())
        problems_.add(path + ".backend.path", "nothing", "the path of a disk image");
      text(path + ".backend.format", disk.backend.format);
      word(path + ".interface", disk.interface, disk_interface_words());
      // virtio-blk cuts it silently (VIRTIO_BLK_ID_BYTES).
      if (text(path + ".serial", disk.serial) && disk.serial.size() > 20)
        problems_.add(path + ".serial", fmt::format("{} bytes", disk.serial.size()), "at most 20");
      if (!disk.boot_index) continue;
      if (*disk.boot_index < 0)
        problems_.add(path + ".bootIndex", std::to_string(*disk.boot_index), "0 (first) or more");
      const auto [first, inserted] = boot_indexes.emplace(*disk.boot_index, i);
      if (!inserted)
        problems_.add(path + ".bootIndex", fmt::format("{}, which disks[{}] has, too", *disk.boot_index, first->second),
                      "a different one for each device");
    }
  }

  void networks() {
    for (std::size_t i = 0; i < config_.networks.size(); ++i) {
      const NetworkConfig& network = config_.networks[i];
      const std::string path = fmt::format("networks[{}]", i);
      id(path + ".id", network.id);
      if (text(path + ".model", network.model) && network.model.empty())
        problems_.add(path + ".model", "nothing", "a network device, such as \"virtio-net-pci\"");
      if (!network.mac_address.empty() && !is_mac_address(network.mac_address))
        problems_.add(path + ".macAddr", in_quotes(network.mac_address),
                      "the address of one device, such as \"52:54:00:12:34:56\" (the first byte even)");
      for (std::size_t j = 0; j < network.backend.host_forwards.size(); ++j)
        if (!is_host_forward(network.backend.host_forwards[j]))
          problems_.add(fmt::format("{}.backend.hostfwd[{}]", path, j), in_quotes(network.backend.host_forwards[j]),
                        "[tcp|udp]:[HOST ADDRESS]:PORT-[GUEST ADDRESS]:PORT, such as \"tcp::2222-:22\"");
    }
  }

  void display() {
    const DisplayConfig& display = config_.display;
    word("display.type", display.type, display_words());
    if (!vnc_address(display.vnc.listen))
      problems_.add(
          "display.vnc.listen", in_quotes(display.vnc.listen),
          "\"none\", \":N\" (display N, 0 to 99) or \"HOST:PORT\" (TCP port 5900 to 65535; display 1 is 5901)");
    text("display.video", display.video);
  }

  void serials() {
    std::map<std::string, std::size_t> paths;
    for (std::size_t i = 0; i < config_.serials.size(); ++i) {
      const SerialConfig& serial = config_.serials[i];
      const std::string path = fmt::format("serials[{}]", i);
      word(path + ".type", serial.type, serial_words());
      text(path + ".path", serial.path);
      const bool has_path = serial.type == "file" || serial.type == "socket";
      if (!has_path && !serial.path.empty())
        problems_.add(path + ".path", fmt::format("has no effect for type {}", in_quotes(serial.type)));
      if (serial.type == "file" && serial.path.empty()) problems_.add(path + ".path", "nothing", "the path of a file");
      if (!has_path || serial.path.empty()) continue;
      const auto [first, inserted] = paths.emplace(serial.path, i);
      if (!inserted)
        problems_.add(path + ".path",
                      fmt::format("{}, which serials[{}] has, too", in_quotes(serial.path), first->second),
                      "a different one for each port");
    }
  }

  void usb() {
    const std::string controller = config_.usb.value_or(UsbControllerConfig()).type;
    if (text("usb.type", controller) && controller.empty())
      problems_.add("usb.type", "nothing", "a USB controller, such as \"qemu-xhci\"");
    for (std::size_t i = 0; i < config_.usb_devices.size(); ++i) {
      const std::string path = fmt::format("usbDevices[{}].type", i);
      if (text(path, config_.usb_devices[i].type) && config_.usb_devices[i].type.empty())
        problems_.add(path, "nothing", "a USB device, such as \"usb-tablet\"");
    }
    const int ports = usb_port_count(controller);
    if (ports > 0 && config_.usb_devices.size() > static_cast<std::size_t>(ports))
      problems_.add("usbDevices", fmt::format("{} devices", config_.usb_devices.size()),
                    fmt::format("at most {}, the ports of {}", ports, in_quotes(controller)));
  }

  void ids() {
    std::map<std::string, std::string> owners;
    if (config_.usb || !config_.usb_devices.empty()) owners.emplace(usb_controller_id, "the USB controller");
    if (!video_device(config_.display.video).empty()) owners.emplace(video_id, "the video device");
    for (std::size_t i = 0; i < config_.usb_devices.size(); ++i)
      owners.emplace(usb_device_id(i), fmt::format("usbDevices[{}]", i));
    for (std::size_t i = 0; i < config_.serials.size(); ++i)
      owners.emplace(serial_id(i), fmt::format("serials[{}]", i));
    const auto add = [&](std::string path, const std::string& device_id) {
      const auto [first, inserted] = owners.emplace(device_id, path);
      if (!inserted)
        problems_.add(path + ".id", fmt::format("{}, the id of {}", in_quotes(device_id), first->second),
                      "a different one for each device");
    };
    for (std::size_t i = 0; i < config_.disks.size(); ++i)
      if (!config_.disks[i].id.empty()) add(fmt::format("disks[{}]", i), config_.disks[i].id);
    for (std::size_t i = 0; i < config_.networks.size(); ++i)
      if (!config_.networks[i].id.empty()) add(fmt::format("networks[{}]", i), config_.networks[i].id);
  }

  const VmConfig& config_;
  Problems& problems_;
};

} // namespace

const std::vector<std::string>& accelerator_words() {
  static const std::vector<std::string> words{"auto", "kvm", "tcg"};
  return words;
}

const std::vector<std::string>& disk_interface_words() {
  static const std::vector<std::string> words{"virtio"};
  return words;
}

const std::vector<std::string>& display_words() {
  static const std::vector<std::string> words{"none", "vnc"};
  return words;
}

const std::vector<std::string>& serial_words() {
  static const std::vector<std::string> words{"socket", "file", "pty", "null"};
  return words;
}

void check_vm_config(const VmConfig& config, Problems& problems) {
  Check(config, problems).run();
}

bool is_valid_vm_name(std::string_view name) noexcept {
  if (name.empty() || name.size() > 64 || (!is_letter(name[0]) && !is_digit(name[0]))) return false;
  return std::all_of(name.begin(), name.end(),
                     [](char c) { return is_letter(c) || is_digit(c) || c == '-' || c == '_' || c == '.'; });
}

DeviceIds device_ids(const VmConfig& config) {
  std::set<std::string> taken;
  for (const DiskConfig& disk : config.disks) taken.insert(disk.id);
  for (const NetworkConfig& network : config.networks) taken.insert(network.id);
  const auto choose = [&](const std::string& given, std::string_view prefix, std::size_t index) {
    if (!given.empty()) return given;
    for (std::size_t number = index;; ++number) {
      std::string candidate = fmt::format("{}{}", prefix, number);
      if (taken.insert(candidate).second) return candidate;
    }
  };
  DeviceIds ids;
  for (std::size_t i = 0; i < config.disks.size(); ++i) ids.disks.push_back(choose(config.disks[i].id, "disk", i));
  for (std::size_t i = 0; i < config.networks.size(); ++i)
    ids.networks.push_back(choose(config.networks[i].id, "net", i));
  return ids;
}

std::string usb_device_id(std::size_t index) {
  return fmt::format("usb-device{}", index);
}
std::string serial_id(std::size_t index) {
  return fmt::format("serial{}", index);
}

std::string video_device(std::string_view video) {
  if (video == "none") return {};
  if (video == "vga") return "VGA";
  if (video == "cirrus") return "cirrus-vga";
  if (video == "qxl") return "qxl-vga";
  if (video == "virtio") return "virtio-vga";
  return std::string(video);
}

int usb_port_count(std::string_view controller) noexcept {
  if (controller == "qemu-xhci" || controller == "nec-usb-xhci") return 15;
  if (controller == "usb-ehci" || controller == "ich9-usb-ehci1" || controller == "ich9-usb-ehci2") return 6;
  if (controller == "pci-ohci") return 3;
  if (controller.ends_with("-uhci") || controller.find("-uhci") != std::string_view::npos) return 2;
  return 0;
}

std::optional<std::string> vnc_address(std::string_view listen) {
  if (listen == "none") return "none";
  const std::size_t colon = listen.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const std::string_view host = listen.substr(0, colon), number = listen.substr(colon + 1);
  // A large display number is a port that somebody mistook for one.
  if (host.empty()) return parse_number(number, 99) ? std::optional(std::string(listen)) : std::nullopt;
  const std::optional<int> port = parse_number(number, 65535);
  if (!port || *port < 5900) return std::nullopt;
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  const std::string_view inner = bracketed ? host.substr(1, host.size() - 2) : host;
  for (const char c : inner)
    if (!is_letter(c) && !is_digit(c) && c != '.' && c != '-' && !(bracketed && (c == ':' || c == '%')))
      return std::nullopt;
  return fmt::format("{}:{}", host, *port - 5900);
}

bool is_plain_text(std::string_view text) noexcept {
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    if (length == 0 || text[0] == '\0') return false;
    text.remove_prefix(length);
  }
  return true;
}

} // namespace qemuctl::detail
