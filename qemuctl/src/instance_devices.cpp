// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "instance_impl.hpp"

#include <string_view>

namespace qemuctl {
namespace {

using ImplPtr = std::shared_ptr<Instance::Impl>;

constexpr std::string_view peripheral_prefix = "/machine/peripheral/";
constexpr std::string_view virtio_suffix = "/virtio-backend";

std::string text_or_empty(const Json& object, std::string_view key) {
  const Json* value = object.find(key);
  return value && value->is_string() ? value->as_string() : std::string();
}

std::uint64_t number_or_zero(const Json& object, std::string_view key) {
  const Json* value = object.find(key);
  return value && value->kind() == Json::Kind::integer && value->as_int() > 0 ? value->as_uint() : 0;
}

/// virtio-blk keeps its drive in a child object, so `query-block` names "/machine/peripheral/ID/virtio-backend"; the
/// device a person gave an id is ID.
std::string device_id(std::string_view qdev) {
  std::string_view id = qdev;
  if (id.starts_with(peripheral_prefix)) {
    id.remove_prefix(peripheral_prefix.size());
    if (id.ends_with(virtio_suffix)) id.remove_suffix(virtio_suffix.size());
    if (id.find('/') == std::string_view::npos) return std::string(id);
  }
  return std::string(qdev);
}

BlockDevice block_device(const Json& entry) {
  BlockDevice device;
  device.qdev = text_or_empty(entry, "qdev");
  device.id = device_id(device.qdev);
  const Json* inserted = entry.find("inserted");
  if (!inserted || !inserted->is_object()) return device;
  device.inserted = true;
  device.node_name = text_or_empty(*inserted, "node-name");
  device.file = text_or_empty(*inserted, "file");
  device.driver = text_or_empty(*inserted, "drv");
  const Json* read_only = inserted->find("ro");
  device.read_only = read_only && read_only->is_bool() && read_only->as_bool();
  device.throttle = {number_or_zero(*inserted, "bps"),     number_or_zero(*inserted, "bps_rd"),
                     number_or_zero(*inserted, "bps_wr"),  number_or_zero(*inserted, "iops"),
                     number_or_zero(*inserted, "iops_rd"), number_or_zero(*inserted, "iops_wr")};
  return device;
}

asio::awaitable<std::vector<BlockDevice>> block_devices(ImplPtr impl) {
  const Json reply = co_await impl->execute("query-block");
  std::vector<BlockDevice> devices;
  for (const Json& entry : reply.as_array()) devices.push_back(block_device(entry));
  co_return devices;
}

asio::awaitable<void> throttle(ImplPtr impl, std::string id, IoThrottle limits) {
  const std::vector<BlockDevice> devices = co_await block_devices(impl);
  const BlockDevice* found = nullptr;
  std::string known;
  for (const BlockDevice& device : devices) {
    if (device.id == id || device.qdev == id || (!device.node_name.empty() && device.node_name == id)) found = &device;
    if (!device.id.empty()) known += (known.empty() ? "" : ", ") + device.id;
  }
  if (!found)
    impl->fail(errc::not_found, "set the limits of disk " + id, "it has no such disk",
               known.empty() ? "It has no disks at all." : "Its disks are: " + known + ".");
  // All six are required by QEMU.
  Json arguments = Json::object({{"id", found->qdev},
                                 {"bps", limits.bps},
                                 {"bps_rd", limits.bps_read},
                                 {"bps_wr", limits.bps_write},
                                 {"iops", limits.iops},
                                 {"iops_rd", limits.iops_read},
                                 {"iops_wr", limits.iops_write}});
  co_await impl->execute("block_set_io_throttle", std::move(arguments));
}

asio::awaitable<UnplugResult> unplug(ImplPtr impl, std::string id, std::chrono::milliseconds timeout) {
  // virtio devices emit a second DEVICE_DELETED for a child, without `device`: only an exact match counts.
  EventFilter about_it = [id](const Event& event) {
    if (event.name != "DEVICE_DELETED" && event.name != "DEVICE_UNPLUG_GUEST_ERROR") return false;
    return text_or_empty(event.data, "device") == id || text_or_empty(event.data, "path") == id;
  };
  EventSubscription events = impl->qmp.subscribe(std::move(about_it), 8);
  const auto deadline = detail::deadline_in(timeout);
  try {
    Json arguments = Json::object({{"id", id}});
    co_await impl->execute("device_del", std::move(arguments));
  } catch (const Error& error) {
    // An earlier request the guest has not answered yet: this call waits for the same answer.
    const bool pending = error.code() == errc::command_failed &&
                         error.diagnostics().server_text.find("already in the process of unplug") != std::string::npos;
    if (!pending) throw;
  }
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  try {
    const std::optional<Event> event = co_await events.next(left);
    if (!event)
      impl->fail(errc::interrupted, "unplug device " + id, "the VM or its monitor was gone before the device was", "");
    co_return event->name == "DEVICE_DELETED" ? UnplugResult::deleted : UnplugResult::rejected;
  } catch (const Error& error) {
    if (error.code() != errc::timed_out) throw;
    co_return UnplugResult::timed_out;
  }
}

} // namespace

asio::awaitable<std::vector<BlockDevice>> Instance::query_block() {
  return block_devices(impl_);
}

asio::awaitable<void> Instance::set_io_throttle(std::string id, IoThrottle limits) {
  return throttle(impl_, std::move(id), limits);
}

asio::awaitable<void> Instance::device_add(Json properties) {
  auto impl = impl_;
  co_await impl->execute("device_add", std::move(properties));
}

asio::awaitable<UnplugResult> Instance::device_del(std::string id, std::chrono::milliseconds timeout) {
  return unplug(impl_, std::move(id), timeout);
}

asio::awaitable<std::string> Instance::human_monitor_command(std::string command_line) {
  auto impl = impl_;
  Json arguments = Json::object({{"command-line", std::move(command_line)}});
  const Json reply = co_await impl->execute("human-monitor-command", std::move(arguments));
  co_return reply.as_string();
}

} // namespace qemuctl
