// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "host_inputs.hpp"

#include "udev_handles.hpp"

#include <cerrno>
#include <string_view>
#include <system_error>
#include <utility>

namespace hotplug::detail {

namespace {

[[noreturn]] void fail(int error) {
  throw std::system_error(error, std::system_category(), "look for input devices");
}

std::set<std::string, std::less<>> kinds_of(udev_device* device) {
  std::set<std::string, std::less<>> kinds;
  udev_list_entry* entry = nullptr;
  udev_list_entry_foreach(entry, udev_device_get_properties_list_entry(device)) {
    const std::string_view name = udev_list_entry_get_name(entry);
    const char* value = udev_list_entry_get_value(entry);
    if (name.starts_with("ID_INPUT_") && value && std::string_view(value) == "1") kinds.emplace(name);
  }
  return kinds;
}

} // namespace

std::vector<HostInput> inputs_of_host() {
  const UdevHandle udev(udev_new());
  const UdevEnumerateHandle enumerate(udev ? udev_enumerate_new(udev.get()) : nullptr);
  if (!enumerate) fail(ENOMEM);
  udev_enumerate_add_match_subsystem(enumerate.get(), "input");
  udev_enumerate_add_match_sysname(enumerate.get(), "event*");
  udev_enumerate_add_match_is_initialized(enumerate.get());
  if (const int error = udev_enumerate_scan_devices(enumerate.get()); error < 0) fail(-error);
  std::vector<HostInput> inputs;
  udev_list_entry* entry = nullptr;
  udev_list_entry_foreach(entry, udev_enumerate_get_list_entry(enumerate.get())) {
    const char* path = udev_list_entry_get_name(entry);
    const UdevDeviceHandle device(udev_device_new_from_syspath(udev.get(), path));
    if (device) inputs.push_back({path, kinds_of(device.get())});
  }
  return inputs;
}

} // namespace hotplug::detail
