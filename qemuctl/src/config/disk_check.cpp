// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "check.hpp"
#include "disk_image.hpp"
#include "ids.hpp"

#include <map>
#include <set>
#include <utility>

namespace qemuctl::detail {

namespace {

void check_backend(Check& check, const std::string& path, const FileDiskBackend& file) {
  check.needed(path + ".path", file.path, "the path of a disk image");
  check.word(path + ".format", file.format, disk_format_words(), true);
}

void check_backend(Check& check, const std::string& path, const NbdDiskBackend& nbd) {
  for (const std::string* text : {&nbd.socket_path, &nbd.host, &nbd.export_name, &nbd.tls_dir}) check.text(path, *text);
  if (nbd.socket_path.empty() == nbd.host.empty())
    check.problems.add(path, nbd.host.empty() ? "neither socketPath nor host" : "socketPath and host",
                       "one of the two, where the NBD server is");
  check.no_effect(path + ".port", nbd.port != 0 && nbd.host.empty(), "without host");
  check.range(path + ".port", nbd.port, 0, max_port);
  if (nbd.tls && nbd.tls_dir.empty() == nbd.tls_creds.empty())
    check.problems.add(path + ".tls", nbd.tls_dir.empty() ? "true" : "both tlsDir and tlsCreds",
                       "either tlsDir, a folder with ca-cert.pem (and client-cert.pem, client-key.pem), or tlsCreds, "
                       "the id of a tls-creds object of extraArgs");
  check.id(path + ".tlsCreds", nbd.tls_creds);
  check.no_effect(path + ".tlsDir", !nbd.tls && !nbd.tls_dir.empty(), "without \"tls\": true");
  check.no_effect(path + ".tlsCreds", !nbd.tls && !nbd.tls_creds.empty(), "without \"tls\": true");
}

void check_backend(Check& check, const std::string& path, const RbdDiskBackend& rbd) {
  check.needed(path + ".pool", rbd.pool, "the name of a pool");
  check.needed(path + ".image", rbd.image, "the name of an image");
  for (const std::string* text : {&rbd.snapshot, &rbd.conf, &rbd.user}) check.text(path, *text);
  check.known_id(path + ".keySecret", rbd.key_secret, "secret", secret_ids(check.config));
  for (const SecretConfig& secret : check.config.secrets)
    if (secret.id == rbd.key_secret && secret.format != "base64" && !rbd.key_secret.empty())
      check.problems.add(path + ".keySecret", fmt::format("{}, a secret of format \"raw\"", in_quotes(secret.id)),
                         "one of format \"base64\", as that is how Ceph writes its keys");
  for (std::size_t i = 0; i < rbd.auth_client_required.size(); ++i)
    check.word(fmt::format("{}.authClientRequired[{}]", path, i), rbd.auth_client_required[i], {"cephx", "none"});
}

void check_backend(Check& check, const std::string& path, const IscsiDiskBackend& iscsi) {
  check.needed(path + ".portal", iscsi.portal, "the HOST:PORT of an iSCSI portal");
  check.needed(path + ".target", iscsi.target, "the name of an iSCSI target");
  check.range(path + ".lun", iscsi.lun, 0, 255);
  check.text(path + ".user", iscsi.user);
  check.text(path + ".initiatorName", iscsi.initiator_name);
  check.known_id(path + ".passwordSecret", iscsi.password_secret, "secret", secret_ids(check.config));
  if (iscsi.user.empty() != iscsi.password_secret.empty())
    check.problems.add(path, iscsi.user.empty() ? "passwordSecret without user" : "user without passwordSecret",
                       "both, for CHAP, or none");
}

void check_throttle(Check& check, const std::string& path, const ThrottleConfig& throttle) {
  check.id(path + ".group", throttle.group);
  const auto total_or_parts = [&](const char* name, std::uint64_t total, std::uint64_t read, std::uint64_t write) {
    if (total > 0 && (read > 0 || write > 0))
      check.problems.add(fmt::format("{}.{}", path, name),
                         fmt::format("says the same as {0}Read and {0}Write; leave it or them out", name));
  };
  total_or_parts("bps", throttle.bps, throttle.bps_read, throttle.bps_write);
  total_or_parts("iops", throttle.iops, throttle.iops_read, throttle.iops_write);
  const auto burst = [&](const char* name, std::uint64_t limit, std::uint64_t max) {
    if (max > 0 && max < limit)
      check.problems.add(fmt::format("{}.{}Max", path, name), std::to_string(max),
                         fmt::format("at least {}, the limit outside of bursts", limit));
    check.no_effect(fmt::format("{}.{}Max", path, name), max > 0 && limit == 0, fmt::format("without {}", name));
  };
  burst("bps", throttle.bps, throttle.bps_max);
  burst("iops", throttle.iops, throttle.iops_max);
  check.no_effect(path + ".burstLength", throttle.burst_length > 0 && throttle.bps_max == 0 && throttle.iops_max == 0,
                  "without bpsMax or iopsMax");
  for (const std::uint64_t limit : {throttle.bps, throttle.bps_read, throttle.bps_write, throttle.iops,
                                    throttle.iops_read, throttle.iops_write, throttle.bps_max, throttle.iops_max})
    check.range(path, limit, std::uint64_t{0}, max_throttle);
}

void check_disk(Check& check, const std::string& path, const DiskConfig& disk) {
  check.id(path + ".id", disk.id);
  std::visit([&](const auto& backend) { check_backend(check, path + ".backend", backend); }, disk.backend);
  check.word(path + ".interface", disk.interface, disk_interface_words());
  check.word(path + ".cache", disk.cache, disk_cache_words(), true);
  check.word(path + ".discard", disk.discard, disk_discard_words(), true);
  // virtio-blk cuts it silently (VIRTIO_BLK_ID_BYTES).
  if (check.text(path + ".serial", disk.serial) && disk.serial.size() > 20)
    check.problems.add(path + ".serial", fmt::format("{} bytes", disk.serial.size()), "at most 20");
  if (disk.read_only && !has_read_only_disks(disk.interface))
    check.problems.add(path + ".readOnly", "true",
                       fmt::format("false for interface {}: there are no such disks that cannot be written; "
                                   "\"virtio\", \"scsi\" and \"nvme\" have them",
                                   in_quotes(disk.interface)));
  if (const auto* file = std::get_if<FileDiskBackend>(&disk.backend);
      file && !disk.read_only && (file->format == "bochs" || file->format == "cloop" || file->format == "dmg"))
    check.problems.add(path + ".readOnly", "false",
                       fmt::format("true, as QEMU only reads images of format {}", in_quotes(file->format)));
  check.boot_index(path, disk.boot_index);
  if (disk.throttle) check_throttle(check, path + ".throttle", *disk.throttle);
}

/// Two disks that write into one file destroy each other's data; QEMU's locks see to that, with less clear words.
void check_paths(Check& check) {
  std::map<std::string, std::size_t> paths;
  const auto& disks = check.config.disks;
  for (std::size_t i = 0; i < disks.size(); ++i) {
    const auto* file = std::get_if<FileDiskBackend>(&disks[i].backend);
    if (!file || file->path.empty()) continue;
    const auto [first, inserted] = paths.emplace(file->path, i);
    if (!inserted && !(disks[i].read_only && disks[first->second].read_only))
      check.problems.add(fmt::format("disks[{}].backend.path", i),
                         fmt::format("{}, which disks[{}] has, too", in_quotes(file->path), first->second),
                         "a different one for each, or \"readOnly\": true for both");
  }
}

/// Secrets, limit groups, credentials and memory are objects of QEMU with ids of their own.
void check_objects(Check& check) {
  const VmConfig& config = check.config;
  std::map<std::string, std::string> owners{{std::string(memory_id), "the memory"},
                                            {std::string(vnc_password_id), "the VNC password"},
                                            {std::string(spice_password_id), "the SPICE password"}};
  for (const SecretConfig& secret : config.secrets) owners.emplace(secret.id, "a secret");
  const DeviceIds ids = device_ids(config);
  std::set<std::string> groups;
  for (std::size_t i = 0; i < config.disks.size(); ++i) {
    const DiskConfig& disk = config.disks[i];
    const std::string path = fmt::format("disks[{}]", i);
    const auto own = [&](const std::string& option, const std::string& id) {
      const auto [first, inserted] = owners.emplace(id, option);
      if (!inserted)
        check.problems.add(option, fmt::format("the id {}, which {} has, too", in_quotes(id), first->second),
                           "a different one");
    };
    const auto* nbd = std::get_if<NbdDiskBackend>(&disk.backend);
    if (nbd && nbd->tls && nbd->tls_creds.empty()) own(path + ".backend.tlsDir", nbd_credentials_id(ids.disks[i]));
    if (!disk.throttle) continue;
    const std::string group = throttle_group_id(disk, ids.disks[i]);
    if (groups.insert(group).second) own(path + ".throttle.group", group);
  }
}

/// All limits of a group are told by one of its disks, or by each the same.
void check_groups(Check& check) {
  std::map<std::string, std::pair<ThrottleConfig, std::size_t>> groups;
  for (std::size_t i = 0; i < check.config.disks.size(); ++i) {
    const auto& throttle = check.config.disks[i].throttle;
    if (!throttle || throttle->group.empty()) continue;
    ThrottleConfig only_group;
    only_group.group = throttle->group;
    if (*throttle == only_group) continue;
    const auto [first, inserted] = groups.emplace(throttle->group, std::pair(*throttle, i));
    if (!inserted && first->second.first != *throttle)
      check.problems.add(fmt::format("disks[{}].throttle", i), "other limits",
                         fmt::format("those of disks[{}], which has the group {}, too; or only the group",
                                     first->second.second, in_quotes(throttle->group)));
  }
}

void check_share(Check& check, const std::string& path, const ShareConfig& share) {
  check.word(path + ".type", share.type, share_words());
  check.needed(path + ".path", share.path, "the path of a folder");
  // struct virtio_fs_config has 36 bytes for it, and 9p as many.
  if (check.needed(path + ".tag", share.tag, "what the guest mounts it by") && share.tag.size() > 35)
    check.problems.add(path + ".tag", fmt::format("{} bytes", share.tag.size()), "at most 35");
  if (share.read_only && share.type == "virtiofs")
    check.problems.add(path + ".readOnly", "true",
                       "false for type \"virtiofs\", which cannot refuse to write everywhere; \"9p\" can");
  // virtiofsd and the option -fsdev take their options apart at commas, and only the latter has a way to write one.
  if (share.type == "virtiofs" && share.path.find(',') != std::string::npos)
    check.problems.add(path + ".path", in_quotes(share.path), "a path without commas; type \"9p\" takes them");
  check.word(path + ".securityModel", share.security_model, share_security_words(), true);
  check.no_effect(path + ".securityModel", share.type != "9p" && !share.security_model.empty(),
                  "for a share that is not of type \"9p\"");
}

} // namespace

void check_disks(Check& check) {
  const VmConfig& config = check.config;
  for (std::size_t i = 0; i < config.disks.size(); ++i) check_disk(check, fmt::format("disks[{}]", i), config.disks[i]);
  check_paths(check);
  check_groups(check);
  check_objects(check);
  for (std::size_t i = 0; i < config.cdroms.size(); ++i) {
    const CdromConfig& cdrom = config.cdroms[i];
    const std::string path = fmt::format("cdroms[{}]", i);
    check.id(path + ".id", cdrom.id);
    check.text(path + ".path", cdrom.path);
    check.word(path + ".interface", cdrom.interface, cdrom_interface_words());
    check.boot_index(path, cdrom.boot_index);
  }
  std::map<std::string, std::string> tags;
  for (std::size_t i = 0; i < config.shares.size(); ++i) {
    const std::string path = fmt::format("shares[{}]", i);
    check_share(check, path, config.shares[i]);
    const auto [first, inserted] = tags.emplace(config.shares[i].tag, path);
    if (!inserted)
      check.problems.add(path + ".tag",
                         fmt::format("{}, which {} has, too", in_quotes(config.shares[i].tag), first->second),
                         "a different one for each");
  }
}

} // namespace qemuctl::detail
