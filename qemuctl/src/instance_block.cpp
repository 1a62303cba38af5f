// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "block_devices.hpp"

#include <string_view>

namespace qemuctl {
namespace {

using detail::Drive;
using ImplPtr = std::shared_ptr<Instance::Impl>;

constexpr std::string_view peripheral_prefix = "/machine/peripheral/";
constexpr std::string_view virtio_suffix = "/virtio-backend";

std::string text_or_empty(const Json& object, std::string_view key) {
  const Json* value = object.is_object() ? object.find(key) : nullptr;
  return value && value->is_string() ? value->as_string() : std::string();
}

std::uint64_t number_or_zero(const Json& object, std::string_view key) {
  const Json* value = object.find(key);
  return value && value->kind() == Json::Kind::integer && value->as_int() > 0 ? value->as_uint() : 0;
}

bool is_true(const Json& object, std::string_view key) {
  const Json* value = object.find(key);
  return value && value->is_bool() && value->as_bool();
}

/// virtio-blk keeps its drive in a child object, so `query-block` names "/machine/peripheral/ID/virtio-backend"; the
/// device the user gave an id is ID.
std::string device_id(std::string_view qdev) {
  std::string_view id = qdev;
  if (id.starts_with(peripheral_prefix)) {
    id.remove_prefix(peripheral_prefix.size());
    if (id.ends_with(virtio_suffix)) id.remove_suffix(virtio_suffix.size());
    if (id.find('/') == std::string_view::npos) return std::string(id);
  }
  return std::string(qdev);
}

/// Of an image behind a throttle node QEMU tells the options, as JSON in place of its name: what they say of the image.
void look_behind_throttle(Drive& drive) {
  constexpr std::string_view prefix = "json:";
  if (drive.device.driver != "throttle" || !drive.device.file.starts_with(prefix)) return;
  try {
    const Json options = parse_json(std::string_view(drive.device.file).substr(prefix.size()));
    drive.throttle_group = text_or_empty(options, "throttle-group");
    const Json* image = options.find("file");
    if (!image) return;
    drive.device.driver = text_or_empty(*image, "driver");
    for (; image; image = image->is_object() ? image->find("file") : nullptr)
      if (const std::string name = text_or_empty(*image, "filename"); !name.empty()) drive.device.file = name;
  } catch (const Error&) { // not JSON, after all
  }
}

Drive drive_of(const Json& entry) {
  Drive drive;
  BlockDevice& device = drive.device;
  device.qdev = text_or_empty(entry, "qdev");
  device.id = device_id(device.qdev);
  device.removable = is_true(entry, "removable");
  device.locked = is_true(entry, "locked");
  device.tray_open = is_true(entry, "tray_open");
  const Json* inserted = entry.find("inserted");
  if (!inserted || !inserted->is_object()) return drive;
  device.inserted = true;
  device.node_name = text_or_empty(*inserted, "node-name");
  device.file = text_or_empty(*inserted, "file");
  device.driver = text_or_empty(*inserted, "drv");
  device.read_only = is_true(*inserted, "ro");
  device.throttle = {number_or_zero(*inserted, "bps"),     number_or_zero(*inserted, "bps_rd"),
                     number_or_zero(*inserted, "bps_wr"),  number_or_zero(*inserted, "iops"),
                     number_or_zero(*inserted, "iops_rd"), number_or_zero(*inserted, "iops_wr")};
  look_behind_throttle(drive);
  return drive;
}

asio::awaitable<IoThrottle> limits_of_group(ImplPtr impl, std::string group) {
  Json arguments = Json::object({{"path", "/objects/" + group}, {"property", "limits"}});
  const Json limits = co_await impl->execute("qom-get", std::move(arguments));
  IoThrottle throttle;
  throttle.bps = number_or_zero(limits, "bps-total");
  throttle.bps_read = number_or_zero(limits, "bps-read");
  throttle.bps_write = number_or_zero(limits, "bps-write");
  throttle.iops = number_or_zero(limits, "iops-total");
  throttle.iops_read = number_or_zero(limits, "iops-read");
  throttle.iops_write = number_or_zero(limits, "iops-write");
  co_return throttle;
}

/// Everything that is not set would stay as it is, and bursts below their limits are refused.
Json group_limits(const IoThrottle& limits) {
  Json all = Json::object({{"bps-total", limits.bps},
                           {"bps-read", limits.bps_read},
                           {"bps-write", limits.bps_write},
                           {"iops-total", limits.iops},
                           {"iops-read", limits.iops_read},
                           {"iops-write", limits.iops_write}});
  for (const std::string kind : {"bps-total", "bps-read", "bps-write", "iops-total", "iops-read", "iops-write"}) {
    all.set(kind + "-max", 0);
    all.set(kind + "-max-length", 1);
  }
  return all;
}

asio::awaitable<void> limit_group(ImplPtr impl, std::string group, IoThrottle limits) {
  Json arguments = Json::object({{"path", "/objects/" + group}, {"property", "limits"}});
  arguments.set("value", group_limits(limits));
  co_await impl->execute("qom-set", std::move(arguments));
}

asio::awaitable<void> throttle(ImplPtr impl, std::string id, IoThrottle limits) {
  const Drive drive = co_await detail::find_drive(impl, id, "set the limits of disk " + id);
  if (!drive.throttle_group.empty()) {
    co_await limit_group(impl, drive.throttle_group, limits);
    co_return;
  }
  // All six are required by QEMU.
  Json arguments = Json::object({{"id", drive.device.qdev},
                                 {"bps", limits.bps},
                                 {"bps_rd", limits.bps_read},
                                 {"bps_wr", limits.bps_write},
                                 {"iops", limits.iops},
                                 {"iops_rd", limits.iops_read},
                                 {"iops_wr", limits.iops_write}});
  co_await impl->execute("block_set_io_throttle", std::move(arguments));
}

asio::awaitable<std::vector<BlockDevice>> block_devices(ImplPtr impl) {
  const std::vector<Drive> drives = co_await detail::query_drives(impl);
  std::vector<BlockDevice> devices;
  for (const Drive& drive : drives) devices.push_back(drive.device);
  co_return devices;
}

} // namespace

namespace detail {

asio::awaitable<std::vector<Drive>> query_drives(ImplPtr impl) {
  const Json reply = co_await impl->execute("query-block");
  std::vector<Drive> drives;
  for (const Json& entry : reply.as_array()) drives.push_back(drive_of(entry));
  for (Drive& drive : drives)
    if (!drive.throttle_group.empty()) drive.device.throttle = co_await limits_of_group(impl, drive.throttle_group);
  co_return drives;
}

asio::awaitable<Drive> find_drive(ImplPtr impl, std::string id, std::string operation) {
  std::vector<Drive> drives = co_await query_drives(impl);
  std::string known;
  for (const Drive& drive : drives) {
    const BlockDevice& device = drive.device;
    if (device.id == id || device.qdev == id || (!device.node_name.empty() && device.node_name == id)) co_return drive;
    if (!device.id.empty()) known += (known.empty() ? "" : ", ") + device.id;
  }
  impl->fail(errc::not_found, std::move(operation), "it has no such disk",
             known.empty() ? "It has no disks at all." : "Its disks are: " + known + ".");
}

} // namespace detail

asio::awaitable<std::vector<BlockDevice>> Instance::query_block() {
  return block_devices(impl_);
}

asio::awaitable<void> Instance::set_io_throttle(std::string id, IoThrottle limits) {
  return throttle(impl_, std::move(id), limits);
}

} // namespace qemuctl
