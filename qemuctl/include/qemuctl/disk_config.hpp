// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace qemuctl {

/// A disk image in a file, or a block device of the host.
struct FileDiskBackend {
  std::string path;
  /// "raw", "qcow2", "vmdk", "vdi", "vhdx", "vpc", "qed", "qcow", "parallels"; only for reading "bochs", "cloop",
  /// "dmg". Empty: what the path ends with (.qcow2, .vmdk, .vdi, .vhdx; .vhd is "vpc"), otherwise "raw". The file
  /// itself is never believed, since a guest can write anything into it; but a "raw" that nobody asked for is refused
  /// at launch when the file begins as an image of another format does.
  std::string format;
  /// The disk is read-only when its file cannot be written, as found at launch. Without it that is an error.
  bool auto_read_only = false;
  bool operator==(const FileDiskBackend&) const = default;
};

/// An export of an NBD server, raw.
struct NbdDiskBackend {
  std::string socket_path; ///< its Unix socket, or
  std::string host;        ///< its host
  int port = 0;            ///< 1 to 65535; 0: 10809
  std::string export_name; ///< empty: the server's default
  bool tls = false;        ///< needs `tls_creds` or `tls_dir`
  std::string tls_creds;   ///< the id of a `tls-creds` object made by `VmConfig::extra_args`
  std::string tls_dir; ///< a folder with ca-cert.pem and, when the server wants them, client-cert.pem, client-key.pem
  bool operator==(const NbdDiskBackend&) const = default;
};

/// A Ceph image, raw.
struct RbdDiskBackend {
  std::string pool;
  std::string image;
  std::string snapshot; ///< empty: the image itself
  std::string conf;     ///< path of ceph.conf; empty: Ceph's default
  std::string user;     ///< empty: Ceph's default, "admin"
  /// The id of a secret with the user's key: as Ceph prints keys, with the format "base64".
  std::string key_secret;
  std::vector<std::string> auth_client_required; ///< "cephx", "none"; empty: Ceph's default
  bool operator==(const RbdDiskBackend&) const = default;
};

/// A logical unit of an iSCSI target, raw.
struct IscsiDiskBackend {
  std::string portal;          ///< "HOST:PORT"
  std::string target;          ///< its name, "iqn...."
  int lun = 0;                 ///< 0 to 255
  std::string user;            ///< for CHAP; needs `password_secret`
  std::string password_secret; ///< the id of a secret
  std::string initiator_name;  ///< empty: QEMU's
  bool operator==(const IscsiDiskBackend&) const = default;
};

using DiskBackend = std::variant<FileDiskBackend, NbdDiskBackend, RbdDiskBackend, IscsiDiskBackend>;

/// Limits of what a disk, or several disks of one group together, may do. 0: no limit. A total excludes the limits for
/// reading and writing of the same kind.
struct ThrottleConfig {
  std::string group;     ///< disks with the same group share its limits; empty: the disk has a group of its own
  std::uint64_t bps = 0; ///< bytes/s, reading and writing together
  std::uint64_t bps_read = 0;
  std::uint64_t bps_write = 0;
  std::uint64_t iops = 0; ///< requests/s, reading and writing together
  std::uint64_t iops_read = 0;
  std::uint64_t iops_write = 0;
  std::uint64_t bps_max = 0;  ///< in bursts; needs `bps` and is not below it
  std::uint64_t iops_max = 0; ///< in bursts; needs `iops` and is not below it
  int burst_length = 0;       ///< s, how long a burst may last; needs `bps_max` or `iops_max`. 0: 1 s
  bool operator==(const ThrottleConfig&) const = default;
};

struct DiskConfig {
  std::string id; ///< empty: "disk0", "disk1", ...
  DiskBackend backend;
  std::string interface = "virtio"; ///< "virtio", "scsi", "sata", "ide", "nvme"
  /// "none", "writeback", "writethrough", "directsync", "unsafe"; empty: "writeback"
  std::string cache;
  std::string discard;           ///< "unmap" or "ignore": what a guest discards is given back; empty: "ignore"
  bool read_only = false;        ///< not for "ide" and "sata", which have no such disks
  std::string serial;            ///< what the guest sees as serial number, at most 20 bytes. nvme: empty means the id
  std::optional<int> boot_index; ///< 0 is first
  std::optional<ThrottleConfig> throttle;
  bool operator==(const DiskConfig&) const = default;
};

struct CdromConfig {
  std::string id;                 ///< empty: "cdrom0", "cdrom1", ...
  std::string path;               ///< of an image, or of a drive of the host; empty: no medium
  std::string interface = "sata"; ///< "sata", "ide", "scsi"
  std::optional<int> boot_index;  ///< 0 is first
  bool operator==(const CdromConfig&) const = default;
};

/// A folder of the host in the guest.
struct ShareConfig {
  std::string type = "virtiofs"; ///< "virtiofs" (virtiofsd is started and ends with the VM) or "9p"
  std::string path;              ///< the folder
  std::string tag;               ///< what the guest mounts it by, 1 to 35 bytes
  bool read_only = false;
  /// For "9p": "mapped-xattr", "mapped-file", "passthrough", "none"; empty: "mapped-xattr"
  std::string security_model;
  bool operator==(const ShareConfig&) const = default;
};

} // namespace qemuctl
