// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "bare_follower.hpp"

#include "bare_qmp.hpp"

#include <fcntl.h>
#include <libudev.h>
#include <poll.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace bench {

namespace {

void read_descriptors(udev_device* device) {
  const int fd = open((std::string(udev_device_get_syspath(device)) + "/descriptors").c_str(), O_RDONLY | O_CLOEXEC);
  char bytes[4096];
  if (fd < 0 || read(fd, bytes, sizeof bytes) <= 0) std::exit(1);
  close(fd);
}

const char* attribute(udev_device* device, const char* name) {
  const char* value = udev_device_get_sysattr_value(device, name);
  return value ? value : "";
}

} // namespace

void follow_bare(const std::vector<std::string>& sockets) {
  udev* context = udev_new();
  udev_monitor* monitor = udev_monitor_new_from_netlink(context, "udev");
  udev_monitor_filter_add_match_subsystem_devtype(monitor, "usb", "usb_device");
  udev_monitor_enable_receiving(monitor);
  std::vector<BareQmp> monitors;
  for (const std::string& path : sockets) {
    monitors.emplace_back(connect_bare(path));
    monitors.back().negotiate();
  }
  pollfd events{udev_monitor_get_fd(monitor), POLLIN, 0};
  for (int number = 0;;) {
    if (poll(&events, 1, -1) < 0) std::exit(1);
    udev_device* device = udev_monitor_receive_device(monitor);
    if (!device) continue;
    if (std::string_view(udev_device_get_action(device)) == "add") {
      for (const char* name : {"idVendor", "product", "serial", "speed", "bDeviceClass", "removable"})
        attribute(device, name);
      read_descriptors(device);
      const std::size_t vm = std::strtoul(attribute(device, "idProduct"), nullptr, 16) % monitors.size();
      char line[256];
      const int length =
          std::snprintf(line, sizeof line,
                        "{\"execute\":\"device_add\",\"arguments\":{\"driver\":\"usb-host\",\"id\":\"d%d\","
                        "\"hostbus\":%s,\"hostaddr\":%s,\"bus\":\"xhci.0\",\"port\":\"%d\"},\"id\":1}\n",
                        number, attribute(device, "busnum"), attribute(device, "devnum"), number);
      ++number;
      monitors[vm].send(std::string_view(line, static_cast<std::size_t>(length)));
    }
    udev_device_unref(device);
  }
}

} // namespace bench
