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
  /// "raw", "qcow2", "vmdk", "vdi", "vhdx", "vpc", "qed", "qcow", "parallels"; read-only "bochs", "cloop",
  /// "dmg". Empty: by the extension (.qcow2, .vmdk, .vdi, .vhdx; .vhd is "vpc"), otherwise "raw". The content is never
  /// probed, since a guest can write anything to it; but if "raw" was not requested, a file that looks like another
  /// format is rejected at launch.
  std::string format;
  /// Makes the disk read-only if its file is not writable at launch, which is an error otherwise.
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
  /// The id of a secret with the user's key, in format "base64", as Ceph prints it.
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

/// I/O limits of a disk, or of several disks in one group together. 0: no limit. A total cannot be combined with read
/// and write limits of the same kind.
struct ThrottleConfig {
  std::string group;     ///< disks of one group share its limits; empty: the disk's own group
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
  std::string discard;           ///< "unmap" (discarded blocks are freed) or "ignore"; empty: "ignore"
  bool read_only = false;        ///< not for "ide" and "sata", which have no read-only disks
  std::string serial;            ///< serial number the guest sees, at most 20 bytes. Empty: none; for nvme, the id
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

/// A host folder shared with the guest.
struct ShareConfig {
  std::string type = "virtiofs"; ///< "virtiofs" (virtiofsd is started and ends with the VM) or "9p"
  std::string path;              ///< the folder
  std::string tag;               ///< by which the guest mounts it, 1 to 35 bytes
  bool read_only = false;
  /// For "9p": "mapped-xattr", "mapped-file", "passthrough", "none"; empty: "mapped-xattr"
  std::string security_model;
  bool operator==(const ShareConfig&) const = default;
};

} // namespace qemuctl
