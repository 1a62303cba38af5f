// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/json.hpp>

#include <asio/awaitable.hpp>

#include <compare>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace qemuctl {

struct QemuVersion {
  int major = 0, minor = 0, micro = 0;
  auto operator<=>(const QemuVersion&) const = default;
};

/// "7.2.22"
std::string to_string(const QemuVersion& version);

/// The version and features of a QEMU binary.
struct QemuInfo {
  std::filesystem::path path;
  QemuVersion version;
  std::string package;                   ///< the builder's label, may be empty
  std::vector<std::string> accelerators; ///< built in: "kvm", "tcg"; may not work on this host
  std::vector<std::string> devices;      ///< concrete device types, sorted; including those in modules, but no aliases

  std::vector<std::string> pci_devices; ///< those of `devices` that plug into a PCI bus, sorted
  std::vector<std::string> objects;     ///< types for `-object`, sorted
  std::vector<std::string> chardevs;    ///< character devices: "socket", "spicevmc", ..., sorted
  std::vector<std::string> machines;    ///< machine types and their aliases, sorted
  std::vector<std::string> cpu_models;  ///< sorted; empty if QEMU does not list them ("riscv64" before 8.2)
  /// The features in its QMP schema that differ between versions and builds, sorted: "netdev/stream",
  /// "netdev/stream/reconnect-ms", "chardev/socket/reconnect", "blockdev/rbd", "audiodev/pa" (since 8.0),
  /// "display/gtk", ... Excludes block drivers that a description can use ("blockdev/iscsi", "blockdev/rbd") but whose
  /// module is not installed.
  std::vector<std::string> features;

  bool has_accelerator(std::string_view name) const noexcept;
  bool has_device(std::string_view type) const noexcept;
  bool has_object(std::string_view type) const noexcept;
  bool has_chardev(std::string_view type) const noexcept;
  bool has_feature(std::string_view feature) const noexcept;
  bool operator==(const QemuInfo&) const = default;
};

/// The name of the system emulator for an architecture in GOARCH style; "" means the host's.
///
/// amd64, 386, arm64, arm, riscv64, ppc64 (ppc64le), mips, mips64, s390x. Throws `Error` (`errc::invalid_argument`)
/// listing these for any other.
std::string qemu_binary_name(std::string_view arch);

/// The binary for `arch`: `qemu_path` if given, else the first found in `$PATH`,
/// `/pkg/main/app-emulation.qemu.core/bin/`, `/usr/bin`, `/usr/local/bin`.
/// Throws `Error` (`errc::not_found`) naming the places searched and the package to install.
std::filesystem::path find_qemu(std::string_view arch = {}, std::string_view qemu_path = {});

/// Queries the binary itself, over QMP, with an empty machine; takes about 0.1 to 0.3 s.
///
/// The answer is cached (in `$XDG_CACHE_HOME/qemuctl`, else for root `/var/cache/qemuctl`, else `~/.cache/qemuctl`)
/// until the size or modification time of the binary, or a folder with QEMU's modules, changes. That of a script, which
/// may run anything, is not cached. A cache that cannot be read or written is not an error.
/// Throws `Error` (`errc::launch_failed`, with the binary's last output). Takes at most 20 s, plus 5 s to end it.
asio::awaitable<QemuInfo> probe_qemu(std::filesystem::path binary);

} // namespace qemuctl
