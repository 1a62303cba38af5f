// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "block_devices.hpp"
#include "config/disk_image.hpp"
#include "config/words.hpp"

#include <fmt/format.h>

#include <random>

namespace qemuctl {
namespace {

using detail::Drive;
using ImplPtr = std::shared_ptr<Instance::Impl>;

/// How long a guest may take to let go of a medium: Linux looks for requests every 2 s.
constexpr std::chrono::seconds tray_timeout{5};

asio::awaitable<Drive> find_removable(ImplPtr impl, std::string id, std::string operation) {
  Drive drive = co_await detail::find_drive(impl, std::move(id), operation);
  if (!drive.device.removable)
    impl->fail(errc::invalid_argument, std::move(operation), "it is a disk, which has no medium to change",
               "CD-ROM drives have.");
  co_return drive;
}

/// A node that only gives what is in the file.
Json medium_node(const std::string& name, const std::string& path) {
  const bool drive = detail::file_driver(path) == "host_device";
  Json file = Json::object({{"driver", drive ? "host_cdrom" : "file"}, {"filename", path}, {"read-only", true}});
  Json node = Json::object({{"driver", "raw"}, {"node-name", name}, {"read-only", true}});
  node.set("file", std::move(file));
  return node;
}

asio::awaitable<bool> is_open(ImplPtr impl, std::string qdev) {
  const std::vector<Drive> drives = co_await detail::query_drives(impl);
  for (const Drive& drive : drives)
    if (drive.device.qdev == qdev) co_return drive.device.tray_open;
  co_return false;
}

/// Opens the tray. QEMU says nothing when it has only asked the guest to, because that has locked it.
asio::awaitable<void> open_tray(ImplPtr impl, BlockDevice device, bool force, std::string operation) {
  EventFilter it_opens = [id = Json(device.qdev)](const Event& event) {
    return event.name == "DEVICE_TRAY_MOVED" && event.data.at("id") == id && event.data.at("tray-open") == Json(true);
  };
  EventSubscription events = impl->qmp.subscribe(std::move(it_opens), 8);
  Json arguments = Json::object({{"id", device.qdev}, {"force", force}});
  co_await impl->execute("blockdev-open-tray", std::move(arguments));
  // A floppy drive has no tray.
  if (!device.locked || force) co_return;
  const bool open = co_await is_open(impl, device.qdev);
  if (open) co_return;
  bool silent = false;
  try {
    co_await events.next(tray_timeout);
  } catch (const Error& error) {
    if (error.code() != errc::timed_out) throw;
    silent = true;
  }
  if (silent)
    impl->fail(errc::timed_out, std::move(operation),
               fmt::format("the guest has locked the drive, and has not opened it within {} s of being asked to",
                           tray_timeout.count()),
               "Unmount the medium in the guest and try again, or use force.");
}

asio::awaitable<void> take_out(ImplPtr impl, std::string qdev) {
  Json arguments = Json::object({{"id", std::move(qdev)}});
  co_await impl->execute("blockdev-remove-medium", std::move(arguments));
}

asio::awaitable<void> put_in(ImplPtr impl, std::string qdev, std::string node) {
  Json arguments = Json::object({{"id", std::move(qdev)}, {"node-name", std::move(node)}});
  co_await impl->execute("blockdev-insert-medium", std::move(arguments));
}

asio::awaitable<void> close_tray(ImplPtr impl, std::string qdev) {
  Json arguments = Json::object({{"id", std::move(qdev)}});
  co_await impl->execute("blockdev-close-tray", std::move(arguments));
}

asio::awaitable<void> close_file(ImplPtr impl, std::string node) {
  Json arguments = Json::object({{"node-name", std::move(node)}});
  co_await impl->execute("blockdev-del", std::move(arguments));
}

/// Goes on when QEMU refuses: for what is not always possible or necessary.
asio::awaitable<void> attempt(asio::awaitable<void> step) {
  try {
    co_await std::move(step);
  } catch (const Error& error) {
    if (error.code() != errc::command_failed) throw;
  }
}

/// Closes the file of a removed medium. The node of one given by `-drive` disappears by itself, and one that something
/// else uses stays.
asio::awaitable<void> forget(ImplPtr impl, std::string node) {
  if (node.empty() || node.starts_with('#')) co_return; // a name of QEMU's own, which no command takes
  co_await attempt(close_file(impl, std::move(node)));
}

asio::awaitable<void> exchange(ImplPtr impl, BlockDevice device, std::string node, bool force, std::string operation) {
  co_await open_tray(impl, device, force, std::move(operation));
  co_await take_out(impl, device.qdev);
  co_await put_in(impl, device.qdev, std::move(node));
  co_await close_tray(impl, device.qdev);
}

asio::awaitable<void> change(ImplPtr impl, std::string id, std::filesystem::path path, bool force) {
  const std::string operation = fmt::format("put {} into drive {}", path.string(), id);
  if (path.empty() || !detail::is_plain_text(path.native()))
    impl->fail(errc::invalid_argument, operation, "the path is empty or no valid UTF-8", "To leave it empty, eject.");
  const Drive drive = co_await find_removable(impl, std::move(id), operation);
  const BlockDevice& device = drive.device;
  // The new file is opened before anything is done with the old one.
  const std::string node = fmt::format("medium-{:08x}", std::random_device{}());
  std::error_code ec;
  Json arguments = medium_node(node, std::filesystem::absolute(path, ec).string());
  co_await impl->execute("blockdev-add", std::move(arguments));
  std::optional<Error> failure;
  try {
    co_await exchange(impl, device, node, force, operation);
  } catch (const Error& error) {
    failure = error;
  }
  if (!failure) {
    co_await forget(impl, device.node_name);
    co_return;
  }
  // As it was before, as far as it has come.
  if (failure->code() == errc::command_failed || failure->code() == errc::timed_out) {
    if (device.inserted) co_await attempt(put_in(impl, device.qdev, device.node_name));
    if (!device.tray_open) co_await attempt(close_tray(impl, device.qdev));
    co_await forget(impl, node);
  }
  throw *failure;
}

asio::awaitable<void> take_out_of(ImplPtr impl, std::string id, bool force) {
  const std::string operation = "eject drive " + id;
  const Drive drive = co_await find_removable(impl, std::move(id), operation);
  co_await open_tray(impl, drive.device, force, operation);
  co_await take_out(impl, drive.device.qdev);
  co_await forget(impl, drive.device.node_name);
}

} // namespace

asio::awaitable<void> Instance::change_medium(std::string id, std::filesystem::path path, bool force) {
  return change(impl_, std::move(id), std::move(path), force);
}

asio::awaitable<void> Instance::eject(std::string id, bool force) {
  return take_out_of(impl_, std::move(id), force);
}

} // namespace qemuctl
