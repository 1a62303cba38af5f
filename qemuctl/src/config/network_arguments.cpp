// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "command_line_parts.hpp"
#include "networks.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <set>
#include <string>
#include <utility>

namespace qemuctl::detail {

namespace {

/// How the client of a stream socket tries again: the names of the property have changed.
void set_reconnect(CommandLineParts& parts, const std::string& path, int seconds, Json& backend) {
  if (seconds == 0) return;
  if (parts.qemu.has_feature("netdev/stream/reconnect-ms"))
    backend.set("reconnect-ms", seconds * 1000);
  else if (parts.qemu.has_feature("netdev/stream/reconnect") || parts.qemu.features.empty())
    backend.set("reconnect", seconds);
  else
    parts.missing_in_qemu(path + ".reconnect", "network clients that try again", "8.0");
}

Json netdev(CommandLineParts&, const std::string&, const UserNetBackend& user) {
  Json backend = Json::object({{"type", "user"}});
  if (!user.net.empty()) backend.set("net", user.net);
  if (!user.host.empty()) backend.set("host", user.host);
  if (!user.dns.empty()) backend.set("dns", user.dns);
  if (!user.dhcp_start.empty()) backend.set("dhcpstart", user.dhcp_start);
  if (user.restrict) backend.set("restrict", true);
  if (user.host_forwards.empty()) return backend;
  Json forwards = Json::array();
  for (const std::string& forward : user.host_forwards) forwards.push_back(Json::object({{"str", forward}}));
  backend.set("hostfwd", std::move(forwards));
  return backend;
}

std::string joined(const std::vector<int>& numbers) {
  std::string text;
  for (const int number : numbers) text += fmt::format("{}{}", text.empty() ? "" : ":", number);
  return text;
}

Json netdev(CommandLineParts& parts, const std::string& path, const TapNetBackend& tap) {
  Json backend = Json::object({{"type", "tap"}});
  const std::vector<int> fds = parts.descriptors(path);
  if (fds.size() == 1) backend.set("fd", std::to_string(fds.front()));
  if (fds.size() > 1) backend.set("fds", joined(fds));
  if (fds.empty()) {
    if (!tap.ifname.empty()) backend.set("ifname", tap.ifname);
    backend.set("script", tap.script.empty() ? "no" : tap.script);
    backend.set("downscript", tap.down_script.empty() ? "no" : tap.down_script);
    if (tap.queues > 1) backend.set("queues", tap.queues);
  }
  if (!tap.vhost) return backend;
  backend.set("vhost", true);
  const std::vector<int> vhost_fds = parts.descriptors(path + ".vhost");
  if (vhost_fds.size() == 1) backend.set("vhostfd", std::to_string(vhost_fds.front()));
  if (vhost_fds.size() > 1) backend.set("vhostfds", joined(vhost_fds));
  return backend;
}

Json stream(CommandLineParts& parts, const std::string& path, const StreamEnd& end) {
  Json address = Json::object({{"type", "inet"}, {"host", end.host}, {"port", std::to_string(end.port)}});
  if (!end.path.empty()) address = Json::object({{"type", "unix"}, {"path", end.path}});
  if (const int fd = parts.descriptor(path); fd >= 0)
    address = Json::object({{"type", "fd"}, {"str", std::to_string(fd)}});
  Json backend = Json::object({{"type", "stream"}, {"addr", std::move(address)}, {"server", end.server}});
  set_reconnect(parts, path, end.reconnect, backend);
  return backend;
}

Json netdev(CommandLineParts& parts, const std::string& path, const SocketNetBackend& socket) {
  // QEMU's own "socket" never had Unix sockets; what "stream" sends over one is the same.
  if (!socket.path.empty()) return stream(parts, path, *stream_end(socket));
  Json backend = Json::object({{"type", "socket"}});
  if (const int fd = parts.descriptor(path); fd >= 0)
    backend.set("fd", std::to_string(fd));
  else if (!socket.multicast.empty())
    backend.set("mcast", socket.multicast);
  else
    backend.set(socket.server ? "listen" : "connect", fmt::format("{}:{}", socket.host, socket.port));
  return backend;
}

Json netdev(CommandLineParts& parts, const std::string& path, const StreamNetBackend& backend) {
  return stream(parts, path, *stream_end(backend));
}

Json netdev(CommandLineParts&, const std::string&, const VdeNetBackend& vde) {
  Json backend = Json::object({{"type", "vde"}});
  if (!vde.sock.empty()) backend.set("sock", vde.sock);
  if (vde.port > 0) backend.set("port", vde.port);
  if (!vde.group.empty()) backend.set("group", vde.group);
  if (!vde.mode.empty()) backend.set("mode", std::stoi(vde.mode, nullptr, 8));
  return backend;
}

Json netdev(CommandLineParts&, const std::string&, const BridgeNetBackend& bridge) {
  Json backend = Json::object({{"type", "bridge"}});
  if (!bridge.bridge.empty()) backend.set("br", bridge.bridge);
  if (!bridge.helper.empty()) backend.set("helper", bridge.helper);
  return backend;
}

/// The MAC addresses of the devices. Those not given are derived from the names, so that they are the same at every
/// start and differ between VMs.
class MacAddresses {
 public:
  explicit MacAddresses(const VmConfig& config) : vm_(config.name) {
    for (const NetworkConfig& network : config.networks) taken_.insert(network.mac_address);
  }

  std::string make(const std::string& id) {
    // FNV-1a, and a last step after which every bit depends on every letter.
    std::uint64_t hash = 0xcbf29ce484222325;
    for (const char c : vm_ + '/' + id) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccd;
    for (hash ^= hash >> 33;; ++hash) {
      // The prefix that QEMU's are known by.
      std::string address =
          fmt::format("52:54:00:{:02x}:{:02x}:{:02x}", hash >> 16 & 0xff, hash >> 8 & 0xff, hash & 0xff);
      if (taken_.insert(address).second) return address;
    }
  }

 private:
  const std::string& vm_;
  std::set<std::string> taken_;
};

} // namespace

void add_networks(CommandLineParts& parts) {
  MacAddresses addresses(parts.config);
  for (std::size_t i = 0; i < parts.config.networks.size(); ++i) {
    const NetworkConfig& network = parts.config.networks[i];
    const std::string path = fmt::format("networks[{}]", i);
    const std::string& id = parts.ids.networks[i];
    Json backend =
        std::visit([&](const auto& kind) { return netdev(parts, path + ".backend", kind); }, network.backend);
    const std::string& type = backend.at("type").as_string();
    if (!parts.qemu.features.empty() && !parts.qemu.has_feature("netdev/" + type))
      parts.missing_in_qemu(path + ".backend.type", "network backend " + in_quotes(type),
                            type == "stream" ? "7.2" : "");
    backend.set("id", id + "-netdev");
    parts.netdev(backend);
    // The default and its short form are "virtio-net", whatever the bus of this machine.
    const bool virtio = network.model == "virtio" || network.model == "virtio-net-pci";
    Json properties = Json::object({{"driver", virtio ? "virtio-net" + parts.machine.virtio_suffix() : network.model},
                                    {"id", id},
                                    {"netdev", id + "-netdev"}});
    properties.set("mac", network.mac_address.empty() ? addresses.make(id) : network.mac_address);
    if (network.boot_index) properties.set("bootindex", *network.boot_index);
    const auto* tap = std::get_if<TapNetBackend>(&network.backend);
    if (const std::size_t queues = tap ? queues_of(*tap) : 1; queues > 1) {
      properties.set("mq", true);
      // One for each direction of a queue, for the configuration and for control.
      if (parts.machine.virtio_suffix() == "-pci") properties.set("vectors", 2 * queues + 2);
    }
    if (network.model.starts_with("usb-")) parts.plug_into_usb(properties);
    parts.device(path + ".model", std::move(properties));
  }
  if (parts.config.vsock)
    parts.device("vsock", Json::object({{"driver", "vhost-vsock" + parts.machine.virtio_suffix()},
                                        {"id", vsock_id},
                                        {"guest-cid", parts.config.vsock->guest_cid}}));
}

} // namespace qemuctl::detail
