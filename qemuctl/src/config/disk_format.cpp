// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "formats.hpp"

#include <utility>

namespace qemuctl::detail {

namespace {

Format<FileDiskBackend> file_backend() {
  using T = FileDiskBackend;
  return object<T>({
      kind_key<T>("type", "file", "A disk image in a file, or a block device of the host"),
      required(key<T>("path", &T::path, file_path(), "The image")),
      key<T>("format", &T::format, word(disk_format_words()),
             "Default: what the path ends with (.qcow2, .vmdk, .vdi, .vhdx; .vhd is `vpc`), otherwise `raw`"),
      key<T>("autoReadOnly", &T::auto_read_only, boolean(),
             "The disk is read-only when its file cannot be written. Default: false"),
  });
}

Format<NbdDiskBackend> nbd_backend() {
  using T = NbdDiskBackend;
  return object<T>({
      kind_key<T>("type", "nbd", "An export of an NBD server"),
      key<T>("socketPath", &T::socket_path, file_path(), "The server's Unix socket; this or `host`"),
      key<T>("host", &T::host, text(), "The server's host"),
      key<T>("port", &T::port, whole_number(1, max_port), "Its TCP port. Default: 10809"),
      key<T>("export", &T::export_name, text(), "Which export. Default: the server's default"),
      key<T>("tls", &T::tls, boolean(), "Encrypted; needs `tlsDir` or `tlsCreds`. Default: false"),
      key<T>("tlsDir", &T::tls_dir, file_path(),
             "A folder with ca-cert.pem and, when the server wants them, client-cert.pem and client-key.pem"),
      key<T>("tlsCreds", &T::tls_creds, text(), "Or the id of a `tls-creds` object of `extraArgs`"),
  });
}

Format<RbdDiskBackend> rbd_backend() {
  using T = RbdDiskBackend;
  return object<T>({
      kind_key<T>("type", "rbd", "A Ceph image"),
      required(key<T>("pool", &T::pool, text(), "Its pool")),
      required(key<T>("image", &T::image, text(), "Its name")),
      key<T>("snapshot", &T::snapshot, text(), "A snapshot of it"),
      key<T>("conf", &T::conf, file_path(), "ceph.conf. Default: Ceph's"),
      key<T>("user", &T::user, text(), "Ceph's user. Default: `admin`"),
      key<T>("keySecret", &T::key_secret, text(),
             "The id of the secret with the user's key, as Ceph prints it; so its `format` is `base64`"),
      key<T>("authClientRequired", &T::auth_client_required, list_of(word({"cephx", "none"})),
             "How the client proves who it is. Default: Ceph's"),
  });
}

Format<IscsiDiskBackend> iscsi_backend() {
  using T = IscsiDiskBackend;
  return object<T>({
      kind_key<T>("type", "iscsi", "A logical unit of an iSCSI target"),
      required(key<T>("portal", &T::portal, text(), "`HOST:PORT`")),
      required(key<T>("target", &T::target, text(), "Its name: `iqn.2023-01.com.example:storage`")),
      key<T>("lun", &T::lun, whole_number(0, 255), "The unit. Default: 0"),
      key<T>("user", &T::user, text(), "For CHAP; needs `passwordSecret`"),
      key<T>("passwordSecret", &T::password_secret, text(), "The id of the secret with the password"),
      key<T>("initiatorName", &T::initiator_name, text(), "Our name. Default: QEMU's"),
  });
}

Format<DiskBackend> disk_backend() {
  return one_of_kinds<DiskBackend>("type", {{"file", as_kind<DiskBackend>(file_backend())},
                                            {"nbd", as_kind<DiskBackend>(nbd_backend())},
                                            {"rbd", as_kind<DiskBackend>(rbd_backend())},
                                            {"iscsi", as_kind<DiskBackend>(iscsi_backend())}});
}

Format<std::uint64_t> bytes_per_second() {
  return size_in_bytes(1, max_throttle);
}

Format<std::uint64_t> requests_per_second() {
  return size_in_bytes(1, max_throttle);
}

Format<ThrottleConfig> throttle() {
  using T = ThrottleConfig;
  return object<T>({
      key<T>("group", &T::group, text(), "Disks with the same group share its limits. Default: a group of its own"),
      key<T>("bps", &T::bps, bytes_per_second(), "Bytes/s, or a string with a unit: `\"100M\"`"),
      key<T>("bpsRead", &T::bps_read, bytes_per_second(), "Bytes/s of reading; instead of `bps`"),
      key<T>("bpsWrite", &T::bps_write, bytes_per_second(), "Bytes/s of writing; instead of `bps`"),
      key<T>("iops", &T::iops, requests_per_second(), "Requests/s"),
      key<T>("iopsRead", &T::iops_read, requests_per_second(), "Reading requests/s; instead of `iops`"),
      key<T>("iopsWrite", &T::iops_write, requests_per_second(), "Writing requests/s; instead of `iops`"),
      key<T>("bpsMax", &T::bps_max, bytes_per_second(), "Bytes/s in bursts; at least `bps`"),
      key<T>("iopsMax", &T::iops_max, requests_per_second(), "Requests/s in bursts; at least `iops`"),
      key<T>("burstLength", &T::burst_length, whole_number(1, any_number),
             "Seconds a burst may last; needs `bpsMax` or `iopsMax`. Default: 1"),
  });
}

} // namespace

Format<DiskConfig> disk_format() {
  using T = DiskConfig;
  return object<T>({
      key<T>("id", &T::id, text(), "The device's id in QEMU. Default: `disk0`, `disk1`, ..."),
      required(key<T>("backend", &T::backend, disk_backend(), "Where the data are")),
      key<T>("interface", &T::interface, word(disk_interface_words()), "How the guest sees it. Default: `virtio`"),
      key<T>("cache", &T::cache, word(disk_cache_words()), "The host's cache. Default: `writeback`"),
      key<T>("discard", &T::discard, word(disk_discard_words()),
             "`unmap`: what the guest discards is given back. Default: `ignore`"),
      key<T>("readOnly", &T::read_only, boolean(), "The guest cannot write. Default: false"),
      key<T>("serial", &T::serial, text(), "The serial number the guest sees, at most 20 bytes"),
      key<T>("bootIndex", &T::boot_index, whole_number(0, any_number), "Its place in the boot order, from 0"),
      key<T>("throttle", &T::throttle, throttle(), "Limits"),
  });
}

Format<DiskConfig> drive_format() {
  using T = DiskConfig;
  const auto set_file = [](T& disk, std::string path) {
    std::get<FileDiskBackend>(disk.backend).path = std::move(path);
  };
  const auto set_format = [](T& disk, std::string format) {
    std::get<FileDiskBackend>(disk.backend).format = std::move(format);
  };
  return object<T>({
      required(key<T>("file", set_file, file_path(), "The image")),
      key<T>("format", set_format, word(disk_format_words()), "Default: what the path ends with, otherwise `raw`"),
      key<T>("interface", &T::interface, word(disk_interface_words()), "How the guest sees it. Default: `virtio`"),
      key<T>("readOnly", &T::read_only, boolean(), "The guest cannot write. Default: false"),
      key<T>("cache", &T::cache, word(disk_cache_words()), "The host's cache. Default: `writeback`"),
      key<T>("serial", &T::serial, text(), "The serial number the guest sees, at most 20 bytes"),
  });
}

Format<CdromConfig> cdrom_format() {
  using T = CdromConfig;
  return short_or_object<T>(
      file_path(), &T::path,
      object<T>({
          key<T>("id", &T::id, text(), "The device's id in QEMU. Default: `cdrom0`, `cdrom1`, ..."),
          key<T>("path", &T::path, file_path(), "The image, or a drive of the host. Default: no medium"),
          key<T>("interface", &T::interface, word(cdrom_interface_words()), "How the guest sees it. Default: `sata`"),
          key<T>("bootIndex", &T::boot_index, whole_number(0, any_number), "Its place in the boot order, from 0"),
      }));
}

Format<ShareConfig> share_format() {
  using T = ShareConfig;
  return object<T>({
      key<T>("type", &T::type, word(share_words()), "Default: `virtiofs`"),
      required(key<T>("path", &T::path, file_path(), "The folder")),
      required(key<T>("tag", &T::tag, text(), "What the guest mounts it by, 1 to 35 bytes")),
      key<T>("readOnly", &T::read_only, boolean(), "The guest cannot write. Default: false"),
      key<T>("securityModel", &T::security_model, word(share_security_words()),
             "For `9p`: how the guest's owners and modes are kept. Default: `mapped-xattr`"),
  });
}

} // namespace qemuctl::detail
