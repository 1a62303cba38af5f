// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "udev_handles.hpp"

#include <hotplug/udev_source.hpp>

#include <asio/posix/stream_descriptor.hpp>
#include <asio/use_awaitable.hpp>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

namespace hotplug {

using detail::UdevDeviceHandle;
using detail::UdevEnumerateHandle;
using detail::UdevHandle;
using detail::UdevMonitorHandle;

namespace {

/// 16 MiB hold thousands of events of about 1 KiB each. Beyond that the kernel drops some, and reports that it did.
constexpr int receive_buffer = 16 << 20;
/// The longest descriptors there are in practice have some KiB; a device may claim 64 KiB for each configuration.
constexpr std::size_t max_descriptors = 1 << 20;

std::string text(const char* value) {
  return value ? value : "";
}

[[noreturn]] void fail(int error, const char* what) {
  throw std::system_error(error, std::system_category(), what);
}

/// The file's bytes; empty when it cannot be read, because the device may be gone.
std::string read_binary(const std::filesystem::path& file) {
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  std::string bytes;
  std::array<char, 4096> buffer;
  while (bytes.size() < max_descriptors) {
    const ssize_t size = ::read(fd, buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) break;
    bytes.append(buffer.data(), static_cast<std::size_t>(size));
  }
  ::close(fd);
  return bytes;
}

std::map<std::string, std::string, std::less<>> properties_of(udev_device* device) {
  std::map<std::string, std::string, std::less<>> properties;
  udev_list_entry* entry = nullptr;
  udev_list_entry_foreach(entry, udev_device_get_properties_list_entry(device))
      properties.emplace(text(udev_list_entry_get_name(entry)), text(udev_list_entry_get_value(entry)));
  return properties;
}

/// The last component of a link's target; empty: no link.
std::string name_behind(const std::string& sys_path, const char* link) {
  std::error_code ec;
  const auto target = std::filesystem::read_symlink(std::filesystem::path(sys_path) / link, ec);
  return ec ? std::string() : target.filename().string();
}

UsbRecord usb_record_of(udev_device* device) {
  UsbRecord record;
  record.sys_path = text(udev_device_get_syspath(device));
  record.device_node = text(udev_device_get_devnode(device));
  record.properties = properties_of(device);
  for (const std::string& name : usb_attributes())
    if (const char* value = udev_device_get_sysattr_value(device, name.c_str())) record.attributes.emplace(name, value);
  record.descriptors = read_binary(std::filesystem::path(record.sys_path) / "descriptors");
  // The port's own folder is below the hub's interface; the device has a link to it, and the port one to its peer.
  record.peer_port = name_behind(record.sys_path, "port/peer");
  return record;
}

InputRecord input_record_of(udev_device* device) {
  InputRecord record;
  record.sys_path = text(udev_device_get_syspath(device));
  record.device_node = text(udev_device_get_devnode(device));
  record.properties = properties_of(device);
  if (udev_device* above = udev_device_get_parent(device)) // which is the child's
    record.name = text(udev_device_get_sysattr_value(above, "name"));
  return record;
}

PciRecord pci_record_of(udev_device* device) {
  PciRecord record;
  record.sys_path = text(udev_device_get_syspath(device));
  record.properties = properties_of(device);
  for (const std::string& name : pci_attributes())
    if (const char* value = udev_device_get_sysattr_value(device, name.c_str())) record.attributes.emplace(name, value);
  record.driver = name_behind(record.sys_path, "driver");
  record.iommu_group = name_behind(record.sys_path, "iommu_group");
  return record;
}

/// A subsystem to follow, and how to read its devices.
struct Source {
  const char* subsystem;
  const char* devtype; ///< nullptr: all
  std::optional<Device> (*read)(udev_device* device);
};

template<typename Made>
std::optional<Device> lifted(std::optional<Made> made) {
  return made ? std::optional<Device>(std::move(*made)) : std::nullopt;
}

constexpr std::array sources{
    Source{"usb", "usb_device", [](udev_device* device) { return lifted(make_usb_device(usb_record_of(device))); }},
    Source{"input", nullptr, [](udev_device* device) { return lifted(make_input_device(input_record_of(device))); }},
    Source{"pci", nullptr, [](udev_device* device) { return lifted(make_pci_device(pci_record_of(device))); }},
};

const Source* source_of(udev_device* device) {
  const std::string subsystem = text(udev_device_get_subsystem(device));
  for (const Source& source : sources)
    if (subsystem == source.subsystem)
      return !source.devtype || text(udev_device_get_devtype(device)) == source.devtype ? &source : nullptr;
  return nullptr;
}

/// nullopt: something else.
std::optional<UsbHub> hub_of(udev_device* device) {
  if (text(udev_device_get_subsystem(device)) != "usb") return std::nullopt;
  return make_usb_hub(usb_record_of(device));
}

} // namespace

struct UdevSource::Impl {
  explicit Impl(const asio::any_io_executor& executor) : socket(executor) {
    context.reset(udev_new());
    if (!context) fail(ENOMEM, "use udev");
    monitor.reset(udev_monitor_new_from_netlink(context.get(), "udev"));
    if (!monitor) fail(errno, "listen to udev");
    // Filtered by the kernel: events of other subsystems wake nobody up.
    for (const Source& source : sources)
      if (const int error =
              udev_monitor_filter_add_match_subsystem_devtype(monitor.get(), source.subsystem, source.devtype);
          error < 0)
        fail(-error, "filter udev's events");
    // Without CAP_NET_ADMIN the default size has to do.
    udev_monitor_set_receive_buffer_size(monitor.get(), receive_buffer);
    if (const int error = udev_monitor_enable_receiving(monitor.get()); error < 0) fail(-error, "listen to udev");
    // The descriptor stays the monitor's.
    socket.assign(::fcntl(udev_monitor_get_fd(monitor.get()), F_DUPFD_CLOEXEC, 0));
  }

  DeviceSnapshot look() {
    DeviceSnapshot snapshot;
    const UdevEnumerateHandle enumerate(udev_enumerate_new(context.get()));
    if (!enumerate) fail(ENOMEM, "look for devices");
    for (const Source& source : sources) udev_enumerate_add_match_subsystem(enumerate.get(), source.subsystem);
    // For devices that udev is still processing an event will follow.
    udev_enumerate_add_match_is_initialized(enumerate.get());
    if (const int error = udev_enumerate_scan_devices(enumerate.get()); error < 0) fail(-error, "look for devices");
    udev_list_entry* entry = nullptr;
    udev_list_entry_foreach(entry, udev_enumerate_get_list_entry(enumerate.get())) {
      const UdevDeviceHandle device(udev_device_new_from_syspath(context.get(), udev_list_entry_get_name(entry)));
      const Source* source = device ? source_of(device.get()) : nullptr;
      if (!source) continue;
      if (std::optional<Device> found = source->read(device.get()))
        snapshot.devices.push_back(std::move(*found));
      else if (std::optional<UsbHub> hub = hub_of(device.get()))
        snapshot.hubs.push_back(std::move(*hub));
    }
    return snapshot;
  }

  /// The next event in the socket; nullopt: none.
  std::optional<DeviceEvent> receive() {
    for (;;) {
      errno = 0;
      const UdevDeviceHandle device(udev_monitor_receive_device(monitor.get()));
      if (!device) {
        if (errno == EINTR) continue;
        if (errno != ENOBUFS) return std::nullopt;
        // Events still in the socket are older than the new snapshot and would undo it.
        drain();
        return look();
      }
      const std::string_view action = text_view(udev_device_get_action(device.get()));
      const Source* source = source_of(device.get());
      if (!source) continue;
      if (action == "remove") return DeviceRemoved{text(udev_device_get_syspath(device.get()))};
      if (std::optional<Device> found = source->read(device.get())) return DeviceArrived{std::move(*found)};
      if (std::optional<UsbHub> hub = hub_of(device.get())) return HubArrived{std::move(*hub)};
    }
  }

  void drain() {
    for (;;) {
      errno = 0;
      const UdevDeviceHandle device(udev_monitor_receive_device(monitor.get()));
      if (!device && errno != EINTR && errno != ENOBUFS) return;
    }
  }

  static std::string_view text_view(const char* value) { return value ? value : std::string_view(); }

  UdevHandle context;
  UdevMonitorHandle monitor;
  asio::posix::stream_descriptor socket;
  bool looked = false;
};

UdevSource::UdevSource(asio::any_io_executor executor) : impl_(std::make_unique<Impl>(executor)) {}
UdevSource::UdevSource(UdevSource&&) noexcept = default;
UdevSource& UdevSource::operator=(UdevSource&&) noexcept = default;
UdevSource::~UdevSource() = default;

asio::awaitable<DeviceEvent> UdevSource::next() {
  if (!std::exchange(impl_->looked, true)) co_return impl_->look();
  for (;;) {
    if (std::optional<DeviceEvent> event = impl_->receive()) co_return std::move(*event);
    co_await impl_->socket.async_wait(asio::posix::stream_descriptor::wait_read, asio::use_awaitable);
  }
}

} // namespace hotplug
