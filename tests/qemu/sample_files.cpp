// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "sample_files.hpp"

#include "command.hpp"
#include "config/disk_image.hpp"
#include "golden.hpp"

#include <sys/stat.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <system_error>

namespace test {

namespace {

constexpr std::size_t image_size = 1 << 20;

void put_big_endian(std::string& bytes, std::size_t at, std::uint64_t value, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) bytes[at + i] = static_cast<char>(value >> (8 * (size - 1 - i)));
}

/// An empty image of version 2 (QEMU's docs/interop/qcow2.txt): header, refcount table, one refcount block, L1 table,
/// each in a cluster of its own.
std::string qcow2_image() {
  constexpr std::size_t cluster = 1 << 16;
  std::string bytes(4 * cluster, '\0');
  put_big_endian(bytes, 0, 0x514649FB, 4); // "QFI\xFB"
  put_big_endian(bytes, 4, 2, 4);          // version
  put_big_endian(bytes, 20, 16, 4);        // cluster bits
  put_big_endian(bytes, 24, image_size, 8);
  put_big_endian(bytes, 36, 1, 4);           // L1 entries
  put_big_endian(bytes, 40, 3 * cluster, 8); // L1 table
  put_big_endian(bytes, 48, cluster, 8);     // refcount table
  put_big_endian(bytes, 56, 1, 4);           // its clusters
  put_big_endian(bytes, cluster, 2 * cluster, 8);
  for (std::size_t i = 0; i < 4; ++i) put_big_endian(bytes, 2 * cluster + 2 * i, 1, 2);
  return bytes;
}

/// The header of a bzImage (Linux's Documentation/x86/boot.rst) and nothing behind it.
std::string kernel_image() {
  std::string bytes(64 * 1024, '\0');
  bytes[0x1f1] = 1; // one sector of set-up code
  bytes.replace(0x1fe, 2, "\x55\xAA");
  bytes.replace(0x202, 4, "HdrS");
  bytes[0x206] = 0x0c, bytes[0x207] = 0x02;    // protocol 2.12
  bytes[0x211] = 1;                            // loaded high
  put_big_endian(bytes, 0x22c, 0xffffff7f, 4); // highest address of the initrd, little-endian 0x7fffffff
  bytes[0x236] = 1;
  bytes[0x239] = 0x08; // 2048 bytes of command line
  return bytes;
}

void make_file(const std::filesystem::path& path, const std::string& bytes) {
  if (path.empty() || std::filesystem::exists(path)) return;
  std::filesystem::create_directories(path.parent_path());
  write_file(path, bytes);
}

/// An image of any format; QEMU's own program makes those that are not simple.
void make_image(const qemuctl::FileDiskBackend& file) {
  if (std::filesystem::exists(file.path)) return;
  const std::string format = qemuctl::detail::image_format(file);
  if (format == "raw")
    make_file(file.path, std::string(image_size, '\0'));
  else if (format == "qcow2")
    make_file(file.path, qcow2_image());
  else
    run_command({"qemu-img", "create", "-q", "-f", format, file.path, std::to_string(image_size)});
}

void make_fifo(const std::filesystem::path& path) {
  if (std::filesystem::exists(path)) return;
  std::filesystem::create_directories(path.parent_path());
  if (::mkfifo(path.c_str(), 0600) != 0) throw std::system_error(errno, std::generic_category(), "mkfifo");
}

} // namespace

void make_files(const qemuctl::VmConfig& config) {
  make_file(config.boot.kernel, kernel_image());
  make_file(config.boot.initrd, "initrd");
  for (const qemuctl::DiskConfig& disk : config.disks)
    if (const auto* file = std::get_if<qemuctl::FileDiskBackend>(&disk.backend)) make_image(*file);
  for (const qemuctl::SecretConfig& secret : config.secrets) make_file(secret.file, "secret");
  for (const qemuctl::SerialConfig& serial : config.serials)
    if (serial.type == "pipe") make_fifo(serial.path);
  for (const qemuctl::ChardevConfig& chardev : config.chardevs)
    if (chardev.backend == "pipe") make_fifo(chardev.path);
  for (const qemuctl::CdromConfig& cdrom : config.cdroms) make_file(cdrom.path, std::string(image_size, '\0'));
  if (config.efi) {
    // Not firmware, but the size of one.
    make_file(config.efi->code, std::string(image_size, '\0'));
    make_file(config.efi->vars_template, std::string(128 * 1024, '\xFF'));
  }
  for (const qemuctl::ShareConfig& share : config.shares) std::filesystem::create_directories(share.path);
}

} // namespace test
