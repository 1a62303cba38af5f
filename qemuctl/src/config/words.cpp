// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "words.hpp"

#include "../utf8.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <system_error>

namespace qemuctl::detail {

namespace {

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

} // namespace

const Words& accelerator_words() {
  static const Words words{"auto", "kvm", "tcg"};
  return words;
}
const Words& memory_backend_words() {
  static const Words words{"ram", "memfd", "file"};
  return words;
}
const Words& rtc_clock_words() {
  static const Words words{"host", "rt", "vm"};
  return words;
}
const Words& rtc_drift_fix_words() {
  static const Words words{"slew", "none"};
  return words;
}
const Words& tpm_version_words() {
  static const Words words{"2.0", "1.2"};
  return words;
}
const Words& disk_format_words() {
  static const Words words{"raw", "qcow2", "vmdk",      "vdi",   "vhdx",  "vpc",
                           "qed", "qcow",  "parallels", "bochs", "cloop", "dmg"};
  return words;
}
const Words& disk_interface_words() {
  static const Words words{"virtio", "scsi", "sata", "ide", "nvme"};
  return words;
}
const Words& disk_cache_words() {
  static const Words words{"none", "writeback", "writethrough", "directsync", "unsafe"};
  return words;
}
const Words& disk_discard_words() {
  static const Words words{"unmap", "ignore"};
  return words;
}
const Words& cdrom_interface_words() {
  static const Words words{"sata", "ide", "scsi"};
  return words;
}
const Words& share_words() {
  static const Words words{"virtiofs", "9p"};
  return words;
}
const Words& share_security_words() {
  static const Words words{"mapped-xattr", "mapped-file", "passthrough", "none"};
  return words;
}
const Words& display_words() {
  static const Words words{"none", "vnc", "spice", "gtk", "sdl"};
  return words;
}
const Words& spice_image_compression_words() {
  static const Words words{"auto_glz", "auto_lz", "quic", "glz", "lz", "off"};
  return words;
}
const Words& spice_wan_compression_words() {
  static const Words words{"auto", "never", "always"};
  return words;
}
const Words& serial_words() {
  static const Words words{"socket", "file", "pty", "pipe", "null"};
  return words;
}
const Words& serial_device_words() {
  static const Words words{"isa-serial", "pci-serial", "usb-serial", "virtio-serial"};
  return words;
}
const Words& chardev_words() {
  static const Words words{"socket", "file", "pty", "pipe", "null", "spicevmc", "spiceport", "ringbuf"};
  return words;
}
const Words& virtio_serial_port_words() {
  static const Words words{"virtserialport", "virtconsole"};
  return words;
}
const Words& secret_format_words() {
  static const Words words{"raw", "base64"};
  return words;
}

std::string video_device(std::string_view video) {
  if (video == "none") return {};
  if (video == "vga") return "VGA";
  if (video == "cirrus") return "cirrus-vga";
  if (video == "qxl") return "qxl-vga";
  if (video == "virtio") return "virtio-vga";
  return std::string(video);
}

std::size_t usb_port_count(std::string_view controller) noexcept {
  if (controller == "qemu-xhci" || controller == "nec-usb-xhci") return 15;
  if (controller == "usb-ehci" || controller == "ich9-usb-ehci1" || controller == "ich9-usb-ehci2") return 6;
  if (controller == "pci-ohci") return 3;
  if (controller.find("-uhci") != std::string_view::npos) return 2;
  return 0;
}

std::optional<std::string> vnc_address(std::string_view listen) {
  if (listen == "none") return "none";
  const std::size_t colon = listen.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const std::string_view host = listen.substr(0, colon), number = listen.substr(colon + 1);
  // A large display number is a port that somebody mistook for one.
  if (host.empty()) return parse_number(number, 99) ? std::optional(std::string(listen)) : std::nullopt;
  const std::optional<int> port = parse_number(number, max_port);
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

bool is_valid_vm_name(std::string_view name) noexcept {
  if (name.empty() || name.size() > 64 || (!is_letter(name[0]) && !is_digit(name[0]))) return false;
  return std::all_of(name.begin(), name.end(),
                     [](char c) { return is_letter(c) || is_digit(c) || c == '-' || c == '_' || c == '.'; });
}

std::optional<int> parse_number(std::string_view text, int max) noexcept {
  int number = 0;
  if (text.empty() || !is_digit(text[0])) return std::nullopt;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number > max) return std::nullopt;
  return number;
}

} // namespace qemuctl::detail
