// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "disk_image.hpp"

#include <cstddef>

namespace qemuctl::detail {

std::string image_format(const FileDiskBackend& backend) {
  if (!backend.format.empty()) return backend.format;
  for (const char* format : {"qcow2", "vmdk", "vdi", "vhdx"})
    if (backend.path.ends_with(std::string(".") + format)) return format;
  return backend.path.ends_with(".vhd") ? "vpc" : "raw";
}

bool is_descriptor_set(std::string_view path) noexcept {
  return path.starts_with("/dev/fdset/");
}

std::string file_driver(std::string_view path) {
  const bool device = path.starts_with("/dev/") && !path.starts_with("/dev/shm/") && !is_descriptor_set(path);
  return device ? "host_device" : "file";
}

bool has_read_only_disks(std::string_view interface) noexcept {
  return interface != "ide" && interface != "sata";
}

std::string format_of_content(std::string_view first_bytes) {
  struct Magic {
    const char* format;
    std::size_t offset;
    std::string_view bytes;
  };
  // block/qcow2.h, block/vmdk.c, block/vdi.c, block/vhdx.h, block/vpc.c, block/qed.h of QEMU
  constexpr Magic known[] = {{"qcow2", 0, "QFI\xFB"},
                             {"vmdk", 0, "KDMV"},
                             {"vmdk", 0, "# Disk DescriptorFile"},
                             {"vdi", 64, "\x7F\x10\xDA\xBE"},
                             {"vhdx", 0, "vhdxfile"},
                             {"vpc", 0, "conectix"}, // the others have that only at their end
                             {"qed", 0, std::string_view("QED\0", 4)}};
  for (const Magic& magic : known)
    if (first_bytes.size() >= magic.offset && first_bytes.substr(magic.offset).starts_with(magic.bytes))
      return magic.format;
  return {};
}

} // namespace qemuctl::detail
