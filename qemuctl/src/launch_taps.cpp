// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "config/networks.hpp"
#include "host_interfaces.hpp"
#include "launch_resources.hpp"

#include <qemuctl/error.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <optional>
#include <system_error>
#include <utility>

namespace qemuctl::detail {

namespace {

constexpr const char* rights =
    "Without CAP_NET_ADMIN there are three ways: a backend of type \"bridge\", whose helper has the rights; an "
    "interface "
    "that root has made for this user, is up and in its bridge (ip tuntap add dev tap0 mode tap user NAME); or "
    "descriptors of one, fds.";

[[noreturn]] void fail(const VmConfig& config, const std::string& path, const std::system_error& error) {
  Diagnostics diagnostics;
  diagnostics.operation = "launch";
  diagnostics.subject = "VM " + config.name;
  diagnostics.detail = fmt::format("{}: {}", path, error.what());
  if (error.code() == std::errc::operation_not_permitted || error.code() == std::errc::permission_denied)
    diagnostics.advice = rights;
  throw Error(error.code(), std::move(diagnostics));
}

FileDescriptor open_device(const char* device) {
  FileDescriptor fd(::open(device, O_RDWR | O_CLOEXEC));
  if (!fd) throw std::system_error(errno, std::system_category(), fmt::format("open {}", device));
  return fd;
}

/// Attaches a descriptor of /dev/net/tun to the interface as one of its queues. It is created if it does not exist, and
/// then disappears with its last descriptor. Returns its name.
std::string attach(int fd, const std::string& name, bool multi_queue) {
  ifreq request{};
  name.copy(request.ifr_name, sizeof request.ifr_name - 1);
  // With the header of virtio QEMU need not compute checksums; it takes it off for other devices.
  request.ifr_flags = static_cast<short>(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (multi_queue ? IFF_MULTI_QUEUE : 0));
  if (::ioctl(fd, TUNSETIFF, &request) != 0)
    throw std::system_error(errno, std::system_category(),
                            name.empty() ? "make a TAP interface" : fmt::format("open the TAP interface {}", name));
  return std::string(request.ifr_name, ::strnlen(request.ifr_name, sizeof request.ifr_name));
}

/// What has to be there before packets pass.
void set_up(const TapNetBackend& tap, const std::string& name, bool ours) {
  const std::optional<HostInterface> interface = find_interface(name);
  if (!interface) throw std::system_error(ENODEV, std::system_category(), fmt::format("find the interface {}", name));
  if (!tap.bridge.empty()) {
    const std::optional<HostInterface> bridge = find_interface(tap.bridge);
    if (!bridge) throw std::system_error(ENODEV, std::system_category(), fmt::format("find the bridge {}", tap.bridge));
    if (ours) {
      raise_interface_address(name);
      // The smallest of its ports is the bridge's.
      if (interface->mtu != bridge->mtu) set_interface_mtu(name, bridge->mtu);
    }
    if (interface->master != bridge->index) add_to_bridge(tap.bridge, interface->index);
  }
  if (!interface->up) put_interface_up(name);
}

void open_tap(const TapNetBackend& tap, const std::string& path, LaunchResources& resources) {
  const std::optional<HostInterface> existing = tap.ifname.empty() ? std::nullopt : find_interface(tap.ifname);
  const bool multi_queue = existing ? existing->multi_queue : tap.queues > 1;
  std::string name = tap.ifname;
  for (int i = 0; i < tap.queues; ++i) {
    FileDescriptor queue = open_device("/dev/net/tun");
    name = attach(queue.get(), name, multi_queue);
    resources.inherit_for(path, std::move(queue));
  }
  set_up(tap, name, !existing);
}

} // namespace

void open_taps(const VmConfig& config, LaunchResources& resources) {
  for (std::size_t i = 0; i < config.networks.size(); ++i) {
    const auto* tap = std::get_if<TapNetBackend>(&config.networks[i].backend);
    if (!tap || qemu_opens(*tap)) continue;
    const std::string path = fmt::format("networks[{}].backend", i);
    try {
      for (const int fd : tap->fds) resources.inherit_borrowed_for(path, fd);
      if (tap->fds.empty()) open_tap(*tap, path, resources);
      for (std::size_t queue = 0; tap->vhost && queue < queues_of(*tap); ++queue)
        resources.inherit_for(path + ".vhost", open_device("/dev/vhost-net"));
    } catch (const std::system_error& error) {
      fail(config, path, error);
    }
  }
}

} // namespace qemuctl::detail
