// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "files_check.hpp"

#include "../programs.hpp"
#include "disk_image.hpp"
#include "networks.hpp"

#include <qemuctl/file_descriptor.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <string_view>
#include <system_error>

namespace qemuctl::detail {

namespace {

/// Whether QEMU would get the right to write; it is started by the same user.
bool can_write(const std::string& path) {
  return ::access(path.c_str(), R_OK | W_OK) == 0;
}

/// The first bytes of a regular file; empty when it is none or cannot be read.
std::string beginning_of(const std::string& path) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat info {};
  if (!file || ::fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) return {};
  std::string bytes(format_magic_size, '\0');
  const ssize_t count = ::pread(file.get(), bytes.data(), bytes.size(), 0);
  bytes.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
  return bytes;
}

class Files {
 public:
  explicit Files(Problems& problems) : problems_(problems) {}

  /// Each says whether it is so.
  bool readable(const std::string& option, const std::string& path) { return file(option, path, R_OK, ""); }
  bool writable(const std::string& option, const std::string& path, std::string_view advice) {
    return file(option, path, R_OK | W_OK, advice);
  }

  bool program(const std::string& option, const std::string& path) { return file(option, path, X_OK, ""); }

  /// A file that is made when it is not there.
  void made(const std::string& option, const std::string& path) {
    std::error_code ec;
    if (std::filesystem::exists(path, ec)) {
      file(option, path, W_OK, "");
      return;
    }
    const std::filesystem::path parent = std::filesystem::path(path).parent_path();
    const std::string folder = parent.empty() ? "." : parent.string();
    if (::access(folder.c_str(), W_OK | X_OK) != 0)
      problems_.add(option, fmt::format("{}: {}", folder, std::generic_category().message(errno)));
  }

  /// What is opened as it is must not be an image of some format.
  void raw(const std::string& option, const std::string& path) {
    if (const std::string format = format_of_content(beginning_of(path)); !format.empty())
      problems_.add(option, fmt::format("{}, an image of format {}", path, in_quotes(format)), "a raw one");
  }

  /// QEMU's flash memory consists of whole pages (hw/i386/pc_sysfw.c).
  void flash(const std::string& option, const std::string& path) {
    constexpr std::uintmax_t page = 4096;
    raw(option, path);
    std::error_code ec;
    const std::uintmax_t size = std::filesystem::file_size(path, ec);
    if (!ec && (size == 0 || size % page != 0))
      problems_.add(option, fmt::format("{} of {} bytes", path, size),
                    "an image for flash memory, of whole 4 KiB pages");
  }

  /// A disk image: what it is has to fit its driver.
  void image(const std::string& owner, const FileDiskBackend& file) {
    struct stat info {};
    if (::stat(file.path.c_str(), &info) != 0) return;
    const bool device = S_ISBLK(info.st_mode) || S_ISCHR(info.st_mode);
    if (device != (file_driver(file.path) == "host_device"))
      problems_.add(owner + ".path", fmt::format("{}, which is {} device", file.path, device ? "a" : "no"),
                    device ? "its own path below /dev" : "a device, as everything below /dev is taken for one");
    const std::string format = image_format(file), content = format_of_content(beginning_of(file.path));
    if (file.format.empty() && format == "raw" && !content.empty())
      problems_.add(
          owner + ".format",
          fmt::format("nothing, while {} begins as an image of format {} does", file.path, in_quotes(content)),
          fmt::format("{}, or \"raw\" for a guest that is to see the file as it is", in_quotes(content)));
    // Only for formats that are always known by their beginning.
    if (S_ISREG(info.st_mode) && content != format &&
        (format == "qcow2" || format == "vmdk" || format == "vdi" || format == "vhdx" || format == "qed"))
      problems_.add(
          owner + (file.format.empty() ? ".path" : ".format"),
          fmt::format("{} is no image of format {}{}", file.path, in_quotes(format),
                      content.empty() ? "" : fmt::format(" but begins as one of {} does", in_quotes(content))));
  }

  bool folder(const std::string& option, const std::string& path) {
    std::error_code ec;
    if (path.empty()) return false;
    if (::access(path.c_str(), R_OK | X_OK) != 0)
      problems_.add(option, fmt::format("{}: {}", path, std::generic_category().message(errno)));
    else if (!std::filesystem::is_directory(path, ec))
      problems_.add(option, path + " is no folder");
    else
      return true;
    return false;
  }

  void device(const std::string& option, const std::string& path, std::string_view advice) {
    if (::access(path.c_str(), R_OK | W_OK) != 0)
      problems_.add(option, fmt::format("{}: {}; {}", path, std::generic_category().message(errno), advice));
  }

 private:
  bool file(const std::string& option, const std::string& path, int mode, std::string_view advice) {
    if (path.empty() || is_descriptor_set(path)) return false;
    std::error_code ec;
    if (std::filesystem::is_directory(path, ec)) {
      problems_.add(option, path + " is a folder");
      return false;
    }
    if (::access(path.c_str(), mode) == 0) return true;
    const int error = errno;
    const bool only_for_writing = !advice.empty() && ::access(path.c_str(), R_OK) == 0;
    problems_.add(option, fmt::format("{}: {}{}", path, std::generic_category().message(error),
                                      only_for_writing ? fmt::format(" (for writing; {})", advice) : ""));
    return false;
  }

  Problems& problems_;
};

void check_disk(Files& files, const std::string& path, const DiskConfig& disk) {
  if (const auto* file = std::get_if<FileDiskBackend>(&disk.backend)) {
    const std::string option = path + ".backend.path";
    const bool there = is_read_only(disk) ? files.readable(option, file->path)
                       : has_read_only_disks(disk.interface)
                           ? files.writable(option, file->path, "with \"readOnly\": true it would be read only")
                           : files.writable(option, file->path,
                                            "the interfaces \"virtio\", \"scsi\" and \"nvme\" have read-only disks");
    if (there) files.image(path + ".backend", *file);
  } else if (const auto* nbd = std::get_if<NbdDiskBackend>(&disk.backend)) {
    const std::string option = path + ".backend.tlsDir";
    if (!files.folder(option, nbd->tls_dir)) return;
    const std::filesystem::path folder = nbd->tls_dir;
    files.readable(option, folder / "ca-cert.pem");
    const bool certificate = std::filesystem::exists(folder / "client-cert.pem");
    const bool key = std::filesystem::exists(folder / "client-key.pem");
    if (certificate || key) files.readable(option, folder / (certificate ? "client-key.pem" : "client-cert.pem"));
  } else if (const auto* rbd = std::get_if<RbdDiskBackend>(&disk.backend)) {
    files.readable(path + ".backend.conf", rbd->conf);
  }
}

void check_efi(Files& files, const EfiConfig& efi, Problems& problems) {
  if (files.readable("efi.code", efi.code)) files.flash("efi.code", efi.code);
  std::error_code ec;
  if (efi.vars.empty() || std::filesystem::exists(efi.vars, ec)) {
    if (files.writable("efi.vars", efi.vars, "the firmware keeps its settings there"))
      files.flash("efi.vars", efi.vars);
  } else if (efi.vars_template.empty()) {
    problems.add("efi.vars", fmt::format("{}: {}, and there is no efi.varsTemplate to make it from", efi.vars,
                                         std::generic_category().message(ENOENT)));
  } else if (files.readable("efi.varsTemplate", efi.vars_template)) {
    files.flash("efi.varsTemplate", efi.vars_template);
  }
}

/// A character device: `server` is whether a "socket" listens, or may do without the other side at first.
void check_character(Files& files, const std::string& option, const std::string& kind, const std::string& path,
                     bool server) {
  if (path.empty()) return;
  if (kind == "file") files.made(option, path);
  if (kind == "socket" && !server) files.writable(option, path, "");
  if (kind == "pipe" &&
      (::access((path + ".in").c_str(), R_OK | W_OK) != 0 || ::access((path + ".out").c_str(), R_OK | W_OK) != 0))
    files.writable(option, path, "");
}

void check_network(Files& files, const std::string& path, const NetworkConfig& network) {
  if (const auto* bridge = std::get_if<BridgeNetBackend>(&network.backend))
    files.program(path + ".backend.helper", bridge->helper);
  // A name with "://" is one of libvdeplug's plugins.
  if (const auto* vde = std::get_if<VdeNetBackend>(&network.backend); vde && vde->sock.find("://") == std::string::npos)
    files.folder(path + ".backend.sock", vde->sock);
  const auto* tap = std::get_if<TapNetBackend>(&network.backend);
  if (!tap) return;
  if (is_script(tap->script)) files.program(path + ".backend.script", tap->script);
  if (is_script(tap->down_script)) files.program(path + ".backend.downScript", tap->down_script);
  if (tap->fds.empty()) files.device(path + ".backend", "/dev/net/tun", "load the module tun");
  // QEMU 7.2 aborts without it.
  if (tap->vhost)
    files.device(path + ".backend.vhost", "/dev/vhost-net", "load the module vhost_net, or leave vhost out");
}

} // namespace

bool is_read_only(const DiskConfig& disk) {
  const auto* file = std::get_if<FileDiskBackend>(&disk.backend);
  return disk.read_only || (file && file->auto_read_only && has_read_only_disks(disk.interface) &&
                            !is_descriptor_set(file->path) && !can_write(file->path));
}

void find_missing_files(const VmConfig& config, Problems& problems) {
  Files files(problems);
  files.readable("boot.kernel", config.boot.kernel);
  files.readable("boot.initrd", config.boot.initrd);
  if (config.efi) check_efi(files, *config.efi, problems);
  for (std::size_t i = 0; i < config.disks.size(); ++i) check_disk(files, fmt::format("disks[{}]", i), config.disks[i]);
  for (std::size_t i = 0; i < config.cdroms.size(); ++i) {
    const std::string option = fmt::format("cdroms[{}].path", i);
    if (files.readable(option, config.cdroms[i].path)) files.raw(option, config.cdroms[i].path);
  }
  for (std::size_t i = 0; i < config.shares.size(); ++i)
    files.folder(fmt::format("shares[{}].path", i), config.shares[i].path);
  for (std::size_t i = 0; i < config.serials.size(); ++i)
    check_character(files, fmt::format("serials[{}].path", i), config.serials[i].type, config.serials[i].path,
                    config.serials[i].server);
  for (std::size_t i = 0; i < config.chardevs.size(); ++i)
    check_character(files, fmt::format("chardevs[{}].path", i), config.chardevs[i].backend, config.chardevs[i].path,
                    config.chardevs[i].server || config.chardevs[i].reconnect > 0);
  for (std::size_t i = 0; i < config.networks.size(); ++i)
    check_network(files, fmt::format("networks[{}]", i), config.networks[i]);
  for (std::size_t i = 0; i < config.secrets.size(); ++i)
    files.readable(fmt::format("secrets[{}].file", i), config.secrets[i].file);
  if (config.tpm && !find_swtpm())
    problems.add("tpm", "the program swtpm is not installed (Debian has it in the package swtpm)");
  for (std::size_t i = 0; i < config.shares.size(); ++i)
    if (config.shares[i].type == "virtiofs" && !find_virtiofsd())
      problems.add(fmt::format("shares[{}].type", i),
                   "the program virtiofsd is not installed (Debian has it in the package virtiofsd, Debian 12 in "
                   "qemu-system-common); \"9p\" needs none");
  if (config.vsock)
    files.device("vsock", "/dev/vhost-vsock", "load the module vhost_vsock; without it no guest has a vsock device");
}

} // namespace qemuctl::detail
