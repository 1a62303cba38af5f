// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "command_line_parts.hpp"
#include "disk_image.hpp"
#include "words.hpp"

#include <fmt/format.h>

#include <map>
#include <type_traits>
#include <utility>

namespace qemuctl::detail {

namespace {

constexpr const char* storage_suffix = "-file";
constexpr const char* image_suffix = "-image";
constexpr int default_nbd_port = 10'809;

/// Where the data are, without the properties that all storage has.
Json storage(CommandLineParts&, const std::string&, const std::string&, const FileDiskBackend& file) {
  Json node = Json::object({{"driver", file_driver(file.path)}, {"filename", file.path}});
  if (file.auto_read_only) node.set("auto-read-only", true);
  return node;
}

Json storage(CommandLineParts& parts, const std::string& path, const std::string& id, const NbdDiskBackend& nbd) {
  Json server = nbd.socket_path.empty()
                    ? Json::object({{"type", "inet"},
                                    {"host", nbd.host},
                                    {"port", std::to_string(nbd.port > 0 ? nbd.port : default_nbd_port)}})
                    : Json::object({{"type", "unix"}, {"path", nbd.socket_path}});
  Json node = Json::object({{"driver", "nbd"}, {"server", std::move(server)}});
  if (!nbd.export_name.empty()) node.set("export", nbd.export_name);
  if (!nbd.tls) return node;
  std::string creds = nbd.tls_creds;
  if (creds.empty()) {
    creds = nbd_credentials_id(id);
    parts.object(
        path + ".tlsDir",
        Json::object({{"qom-type", "tls-creds-x509"}, {"id", creds}, {"endpoint", "client"}, {"dir", nbd.tls_dir}}));
  }
  node.set("tls-creds", creds);
  return node;
}

Json storage(CommandLineParts&, const std::string&, const std::string&, const RbdDiskBackend& rbd) {
  Json node = Json::object({{"driver", "rbd"}, {"pool", rbd.pool}, {"image", rbd.image}});
  if (!rbd.snapshot.empty()) node.set("snapshot", rbd.snapshot);
  if (!rbd.conf.empty()) node.set("conf", rbd.conf);
  if (!rbd.user.empty()) node.set("user", rbd.user);
  if (!rbd.key_secret.empty()) node.set("key-secret", rbd.key_secret);
  if (!rbd.auth_client_required.empty()) {
    const auto& methods = rbd.auth_client_required;
    node.set("auth-client-required", Json::array(Json::Array(methods.begin(), methods.end())));
  }
  return node;
}

Json storage(CommandLineParts&, const std::string&, const std::string&, const IscsiDiskBackend& iscsi) {
  Json node = Json::object({{"driver", "iscsi"},
                            {"transport", "tcp"},
                            {"portal", iscsi.portal},
                            {"target", iscsi.target},
                            {"lun", iscsi.lun}});
  if (!iscsi.user.empty()) node.set("user", iscsi.user);
  if (!iscsi.password_secret.empty()) node.set("password-secret", iscsi.password_secret);
  if (!iscsi.initiator_name.empty()) node.set("initiator-name", iscsi.initiator_name);
  return node;
}

/// What `cache` means to QEMU: to the block nodes, and to the device (its write cache).
struct CacheMode {
  bool direct = false, no_flush = false, writeback = true;
};

CacheMode cache_mode(std::string_view word) {
  if (word == "none") return {true, false, true};
  if (word == "writethrough") return {false, false, false};
  if (word == "directsync") return {true, false, false};
  if (word == "unsafe") return {false, true, true};
  return {};
}

/// A limit group of QEMU.
void add_throttle_group(CommandLineParts& parts, const std::string& path, const std::string& id,
                        const ThrottleConfig& throttle) {
  Json limits = Json::object();
  const auto limit = [&](const char* name, std::uint64_t value) {
    if (value > 0) limits.set(name, value);
  };
  limit("bps-total", throttle.bps);
  limit("bps-read", throttle.bps_read);
  limit("bps-write", throttle.bps_write);
  limit("iops-total", throttle.iops);
  limit("iops-read", throttle.iops_read);
  limit("iops-write", throttle.iops_write);
  limit("bps-total-max", throttle.bps_max);
  limit("iops-total-max", throttle.iops_max);
  const auto length = static_cast<std::uint64_t>(throttle.burst_length);
  if (throttle.bps_max > 0) limit("bps-total-max-length", length);
  if (throttle.iops_max > 0) limit("iops-total-max-length", length);
  parts.object(path, Json::object({{"qom-type", "throttle-group"}, {"id", id}, {"limits", std::move(limits)}}));
}

/// The disks and CD-ROM drives of a VM, which share controllers.
class Drives {
 public:
  explicit Drives(CommandLineParts& parts) : parts_(parts) {}

  void add_disk(std::size_t index) {
    const DiskConfig& disk = parts_.config.disks[index];
    const std::string path = fmt::format("disks[{}]", index);
    const std::string& id = parts_.ids.disks[index];
    const std::string node = add_nodes(disk, path, id, index);
    Json properties = Json::object({{"driver", disk_driver(disk)}, {"id", id}, {"drive", node}});
    if (disk.interface == "nvme" && parts_.machine.is_microvm())
      parts_.invalid(
          path + ".interface", "\"nvme\"",
          fmt::format("\"virtio\" or \"scsi\", as the machine {} has no PCI bus", in_quotes(parts_.machine.type)));
    attach(properties, path, disk.interface);
    if (!disk.serial.empty())
      properties.set("serial", disk.serial);
    else if (disk.interface == "nvme")
      properties.set("serial", id.substr(0, 20)); // which it cannot do without
    if (disk.boot_index) properties.set("bootindex", *disk.boot_index);
    // Writes are complete when they are on the disk: the guest is told that there is no cache.
    if (!cache_mode(disk.cache).writeback) properties.set("write-cache", "off");
    parts_.device(path + ".interface", std::move(properties));
  }

  void add_cdrom(std::size_t index) {
    const CdromConfig& cdrom = parts_.config.cdroms[index];
    const std::string path = fmt::format("cdroms[{}]", index);
    const std::string& id = parts_.ids.cdroms[index];
    Json properties = Json::object({{"driver", cdrom.interface == "scsi" ? "scsi-cd" : "ide-cd"}, {"id", id}});
    if (!cdrom.path.empty()) {
      const std::string node = parts_.node_name(id, index, {storage_suffix});
      // A drive of the host tells of its own when the medium is changed.
      const bool drive = file_driver(cdrom.path) == "host_device";
      Json file = Json::object({{"driver", drive ? "host_cdrom" : "file"},
                                {"node-name", node + storage_suffix},
                                {"filename", cdrom.path},
                                {"read-only", true}});
      parts_.blockdev(
          Json::object({{"driver", "raw"}, {"node-name", node}, {"read-only", true}, {"file", std::move(file)}}));
      properties.set("drive", node);
    }
    attach(properties, path, cdrom.interface);
    if (cdrom.boot_index) properties.set("bootindex", *cdrom.boot_index);
    parts_.device(path + ".interface", std::move(properties));
  }

 private:
  static std::string disk_device(std::string_view interface, const GuestMachine& machine) {
    if (interface == "virtio") return "virtio-blk" + machine.virtio_suffix();
    if (interface == "scsi") return "scsi-hd";
    if (interface == "nvme") return "nvme";
    return "ide-hd";
  }

  std::string disk_driver(const DiskConfig& disk) const { return disk_device(disk.interface, parts_.machine); }

  /// The block nodes of a disk, from the storage up; the name of the topmost.
  std::string add_nodes(const DiskConfig& disk, const std::string& path, const std::string& id, std::size_t index) {
    const CacheMode cache = cache_mode(disk.cache);
    const auto finish = [&](Json& node, const std::string& name) {
      node.set("node-name", name);
      node.set("read-only", disk.read_only);
      if (cache.direct || cache.no_flush)
        node.set("cache", Json::object({{"direct", cache.direct}, {"no-flush", cache.no_flush}}));
      if (!disk.discard.empty()) node.set("discard", disk.discard);
    };
    const std::string node =
        parts_.node_name(id, index, disk.throttle ? Words{storage_suffix, image_suffix} : Words{storage_suffix});
    Json file =
        std::visit([&](const auto& backend) { return storage(parts_, path + ".backend", id, backend); }, disk.backend);
    need_driver(path + ".backend.type", file.at("driver").as_string());
    finish(file, node + storage_suffix);
    const auto* image = std::get_if<FileDiskBackend>(&disk.backend);
    Json format = Json::object({{"driver", image ? image_format(*image) : "raw"}});
    need_driver(path + ".backend.format", format.at("driver").as_string());
    finish(format, disk.throttle ? node + image_suffix : node);
    format.set("file", std::move(file));
    if (!disk.throttle) {
      parts_.blockdev(format);
      return node;
    }
    const std::string group = throttle_group_id(disk, id);
    // The check has seen to it that disks of one group agree.
    if (groups_.emplace(group, index).second)
      add_throttle_group(parts_, path + ".throttle", group, throttle_of(group, *disk.throttle));
    Json throttle = Json::object({{"driver", "throttle"}, {"throttle-group", group}});
    finish(throttle, node);
    throttle.set("file", std::move(format));
    parts_.blockdev(throttle);
    return node;
  }

  void need_driver(const std::string& path, const std::string& driver) {
    if (parts_.qemu.features.empty() || parts_.qemu.has_feature("blockdev/" + driver)) return;
    const bool module = driver == "iscsi" || driver == "rbd";
    parts_.missing_in_qemu(path, fmt::format("block driver {}{}", in_quotes(driver),
                                             module ? " (Debian has it in the package qemu-block-extra)" : ""));
  }

  /// The limits of a group: any of its disks may be the one that tells them.
  const ThrottleConfig& throttle_of(const std::string& group, const ThrottleConfig& first) const {
    for (const DiskConfig& disk : parts_.config.disks) {
      if (!disk.throttle || disk.throttle->group != group) continue;
      ThrottleConfig empty;
      empty.group = group;
      if (*disk.throttle != empty) return *disk.throttle;
    }
    return first;
  }

  /// Adds the place on a controller to `properties`.
  void attach(Json& properties, const std::string& path, const std::string& interface) {
    if (interface == "scsi") {
      constexpr std::size_t targets = 256; // of virtio-scsi
      if (scsi_targets_ == targets) parts_.invalid(path + ".interface", "a 257th SCSI drive", "at most 256");
      properties.set("bus", parts_.scsi_bus());
      properties.set("scsi-id", scsi_targets_++);
    } else if (interface == "ide") {
      attach_to_ide(properties, path);
    } else if (interface == "sata") {
      attach_to_sata(properties, path);
    }
  }

  void attach_to_ide(Json& properties, const std::string& path) {
    // What q35 has instead of IDE is SATA, on buses of the same names.
    if (parts_.machine.is_q35()) return attach_to_sata(properties, path);
    constexpr std::size_t channels = 2, units = 2;
    if (!parts_.machine.is_i440fx()) {
      parts_.invalid(path + ".interface", "\"ide\"",
                     fmt::format("{}, as the machine {} has no IDE controller",
                                 parts_.machine.pci() ? "\"sata\" or \"scsi\"" : "\"scsi\"",
                                 in_quotes(parts_.machine.type)));
      return;
    }
    if (ide_units_ == channels * units) {
      parts_.invalid(path + ".interface", "a fifth IDE drive", "at most four; \"sata\" has room for more");
      return;
    }
    properties.set("bus", fmt::format("ide.{}", ide_units_ / units));
    properties.set("unit", ide_units_ % units);
    ++ide_units_;
  }

  void attach_to_sata(Json& properties, const std::string& path) {
    constexpr std::size_t ports = 6;
    if (!parts_.machine.pci()) {
      parts_.invalid(
          path + ".interface", "\"sata\"",
          fmt::format("\"scsi\", as the machine {} has no PCI bus that is known", in_quotes(parts_.machine.type)));
      return;
    }
    const std::size_t port = sata_ports_ % ports;
    std::size_t controller = sata_ports_ / ports;
    ++sata_ports_;
    // The first one of q35 is there already, and its buses have other names.
    if (parts_.machine.is_q35() && controller-- == 0) {
      properties.set("bus", fmt::format("ide.{}", port));
      return;
    }
    const std::string id = sata_controller_id(controller);
    if (port == 0) parts_.device(path + ".interface", Json::object({{"driver", "ich9-ahci"}, {"id", id}}));
    properties.set("bus", fmt::format("{}.{}", id, port));
  }

  CommandLineParts& parts_;
  std::map<std::string, std::size_t> groups_;
  std::size_t scsi_targets_ = 0, ide_units_ = 0, sata_ports_ = 0;
};

} // namespace

void add_disks(CommandLineParts& parts) {
  Drives drives(parts);
  for (std::size_t i = 0; i < parts.config.disks.size(); ++i) drives.add_disk(i);
  for (std::size_t i = 0; i < parts.config.cdroms.size(); ++i) drives.add_cdrom(i);
}

void add_shares(CommandLineParts& parts) {
  for (std::size_t i = 0; i < parts.config.shares.size(); ++i) {
    const ShareConfig& share = parts.config.shares[i];
    const std::string path = fmt::format("shares[{}]", i);
    const std::string id = share_id(i);
    if (share.type == "9p") {
      const std::string model = share.security_model.empty() ? "mapped-xattr" : share.security_model;
      parts.option("-fsdev", fmt::format("local,id={}-fs,path={},security_model={}{}", id, escape_option(share.path),
                                         model, share.read_only ? ",readonly=on" : ""));
      parts.device(path + ".type", Json::object({{"driver", "virtio-9p" + parts.machine.virtio_suffix()},
                                                 {"id", id},
                                                 {"fsdev", id + "-fs"},
                                                 {"mount_tag", share.tag}}));
      continue;
    }
    const int fd = parts.descriptor(path);
    const std::string socket =
        fd >= 0 ? fmt::format("fd={}", fd)
                : fmt::format("path={}",
                              escape_option(fmt::format("{}/{}.{}", parts.config.socket_dir, parts.config.name, id)));
    parts.chardev(fmt::format("socket,id={}-chardev,{}", id, socket));
    parts.device(path + ".type", Json::object({{"driver", "vhost-user-fs" + parts.machine.virtio_suffix()},
                                               {"id", id},
                                               {"chardev", id + "-chardev"},
                                               {"tag", share.tag}}));
  }
}

} // namespace qemuctl::detail
