// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "files_check.hpp"

#include "../programs.hpp"
#include "networks.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string_view>
#include <system_error>

namespace qemuctl::detail {

namespace {

class Files {
 public:
  explicit Files(Problems& problems) : problems_(problems) {}

  void readable(const std::string& option, const std::string& path) { file(option, path, R_OK, ""); }

  void writable(const std::string& option, const std::string& path, std::string_view advice) {
    file(option, path, R_OK | W_OK, advice);
  }

  void program(const std::string& option, const std::string& path) { file(option, path, X_OK, ""); }

  void folder(const std::string& option, const std::string& path) {
    std::error_code ec;
    if (path.empty()) return;
    if (::access(path.c_str(), R_OK | X_OK) != 0)
      problems_.add(option, fmt::format("{}: {}", path, std::generic_category().message(errno)));
    else if (!std::filesystem::is_directory(path, ec))
      problems_.add(option, path + " is no folder");
  }

  void device(const std::string& option, const std::string& path, std::string_view advice) {
    if (::access(path.c_str(), R_OK | W_OK) != 0)
      problems_.add(option, fmt::format("{}: {}; {}", path, std::generic_category().message(errno), advice));
  }

 private:
  void file(const std::string& option, const std::string& path, int mode, std::string_view advice) {
    if (path.empty()) return;
    std::error_code ec;
    if (std::filesystem::is_directory(path, ec)) {
      problems_.add(option, path + " is a folder");
      return;
    }
    if (::access(path.c_str(), mode) == 0) return;
    const int error = errno;
    const bool only_for_writing = !advice.empty() && ::access(path.c_str(), R_OK) == 0;
    problems_.add(option, fmt::format("{}: {}{}", path, std::generic_category().message(error),
                                      only_for_writing ? fmt::format(" (for writing; {})", advice) : ""));
  }

  Problems& problems_;
};

void check_disk(Files& files, const std::string& path, const DiskConfig& disk) {
  if (const auto* file = std::get_if<FileDiskBackend>(&disk.backend)) {
    if (disk.read_only || file->auto_read_only)
      files.readable(path + ".backend.path", file->path);
    else
      files.writable(path + ".backend.path", file->path, "with \"readOnly\": true it would be read only");
  } else if (const auto* nbd = std::get_if<NbdDiskBackend>(&disk.backend)) {
    files.folder(path + ".backend.tlsDir", nbd->tls_dir);
  } else if (const auto* rbd = std::get_if<RbdDiskBackend>(&disk.backend)) {
    files.readable(path + ".backend.conf", rbd->conf);
  }
}

void check_network(Files& files, const std::string& path, const NetworkConfig& network) {
  if (const auto* bridge = std::get_if<BridgeNetBackend>(&network.backend))
    files.program(path + ".backend.helper", bridge->helper);
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

void find_missing_files(const VmConfig& config, Problems& problems) {
  Files files(problems);
  files.readable("boot.kernel", config.boot.kernel);
  files.readable("boot.initrd", config.boot.initrd);
  if (config.efi) {
    const EfiConfig& efi = *config.efi;
    files.readable("efi.code", efi.code);
    std::error_code ec;
    if (efi.vars.empty() || std::filesystem::exists(efi.vars, ec))
      files.writable("efi.vars", efi.vars, "the firmware keeps its settings there");
    else if (efi.vars_template.empty())
      problems.add("efi.vars", fmt::format("{}: {}, and there is no efi.varsTemplate to make it from", efi.vars,
                                           std::generic_category().message(ENOENT)));
    else
      files.readable("efi.varsTemplate", efi.vars_template);
  }
  for (std::size_t i = 0; i < config.disks.size(); ++i) check_disk(files, fmt::format("disks[{}]", i), config.disks[i]);
  for (std::size_t i = 0; i < config.cdroms.size(); ++i)
    files.readable(fmt::format("cdroms[{}].path", i), config.cdroms[i].path);
  for (std::size_t i = 0; i < config.shares.size(); ++i)
    files.folder(fmt::format("shares[{}].path", i), config.shares[i].path);
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
