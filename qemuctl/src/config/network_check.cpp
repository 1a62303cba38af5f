// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "check.hpp"
#include "networks.hpp"

#include <arpa/inet.h>
#include <net/if.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <map>
#include <optional>

namespace qemuctl::detail {

namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// The part of `rest` before `separator`, which is removed with it; nullopt when there is no `separator`.
std::optional<std::string_view> take_until(std::string_view& rest, char separator) {
  const std::size_t at = rest.find(separator);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view part = rest.substr(0, at);
  rest.remove_prefix(at + 1);
  return part;
}

std::optional<std::uint32_t> ipv4(std::string_view text) {
  in_addr address{};
  if (::inet_pton(AF_INET, std::string(text).c_str(), &address) != 1) return std::nullopt;
  return ntohl(address.s_addr);
}

/// An IPv4 network.
struct Ipv4Net {
  std::uint32_t address = 0, mask = 0;
  bool contains(std::uint32_t other) const { return (other & mask) == (address & mask); }
};

/// ADDRESS, which means the network of its class, ADDRESS/BITS or ADDRESS/MASK, as QEMU reads it (net/slirp.c).
std::optional<Ipv4Net> ipv4_net(std::string_view text) {
  std::string_view rest = text;
  const auto before = take_until(rest, '/');
  const auto address = ipv4(before.value_or(text));
  if (!address) return std::nullopt;
  if (!before) {
    const std::uint32_t first = *address >> 24;
    return Ipv4Net{*address, first < 128 ? 0xff000000 : first < 192 ? 0xffff0000 : 0xffffff00};
  }
  if (const auto bits = parse_number(rest, 32))
    return Ipv4Net{*address, *bits == 0 ? 0 : ~std::uint32_t{0} << (32 - *bits)};
  const auto mask = ipv4(rest);
  if (!mask) return std::nullopt;
  return Ipv4Net{*address, *mask};
}

/// [tcp|udp]:[HOST ADDRESS]:PORT-[GUEST ADDRESS]:PORT
bool is_host_forward(std::string_view text, const Ipv4Net& net) {
  const auto protocol = take_until(text, ':');
  if (!protocol || (*protocol != "" && *protocol != "tcp" && *protocol != "udp")) return false;
  const auto host = take_until(text, ':');
  if (!host || (!host->empty() && !ipv4(*host))) return false;
  const auto host_port = take_until(text, '-');
  if (!host_port || !parse_number(*host_port, max_port)) return false;
  const auto guest = take_until(text, ':');
  if (!guest || (!guest->empty() && !net.contains(ipv4(*guest).value_or(~net.address)))) return false;
  return parse_number(text, max_port).value_or(0) > 0;
}

/// ADDRESS:PORT
bool is_multicast(std::string_view text) {
  const auto address = take_until(text, ':');
  return address && ipv4(*address).value_or(0) >> 28 == 0xe && parse_number(text, max_port).value_or(0) > 0;
}

/// Six bytes in hexadecimal, separated by colons; not a group address, and not all zero, which QEMU takes as "none
/// given".
bool is_mac_address(std::string_view text) {
  if (text.size() != 17) return false;
  bool zero = true;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (i % 3 == 2) {
      if (text[i] != ':') return false;
      continue;
    }
    const char c = text[i];
    if (!is_digit(c) && !(c >= 'a' && c <= 'f') && !(c >= 'A' && c <= 'F')) return false;
    if (c != '0') zero = false;
  }
  unsigned first = 0;
  std::from_chars(text.data(), text.data() + 2, first, 16);
  return !zero && first % 2 == 0;
}

void check_interface_name(Check& check, const std::string& path, const std::string& name) {
  // The kernel's dev_valid_name; '%' and ':' mean something to it, too.
  const bool valid = name.size() < IFNAMSIZ && name != "." && name != ".." &&
                     std::all_of(name.begin(), name.end(),
                                 [](char c) { return c > ' ' && c != '/' && c != ':' && c != '%' && c != 127; });
  if (!valid)
    check.problems.add(path, in_quotes(name),
                       "the name of an interface: 1 to 15 characters, no blanks, \"/\", \":\" or \"%\"");
}

void check_backend(Check& check, const std::string& path, const UserNetBackend& user) {
  const std::string net_text = user.net.empty() ? "10.0.2.0/24" : user.net;
  const std::optional<Ipv4Net> net = ipv4_net(net_text);
  if (!net) {
    check.problems.add(path + ".net", in_quotes(user.net), "an IPv4 network, such as \"10.0.2.0/24\"");
    return;
  }
  for (std::size_t i = 0; i < user.host_forwards.size(); ++i)
    if (!is_host_forward(user.host_forwards[i], *net))
      check.problems.add(fmt::format("{}.hostfwd[{}]", path, i), in_quotes(user.host_forwards[i]),
                         fmt::format("[tcp|udp]:[HOST ADDRESS]:PORT-[GUEST ADDRESS]:PORT, such as \"tcp::2222-:22\", "
                                     "with IPv4 addresses, the guest's in {}",
                                     net_text));
  const auto address = [&](const char* name, const std::string& value) {
    if (!value.empty() && !net->contains(ipv4(value).value_or(~net->address)))
      check.problems.add(fmt::format("{}.{}", path, name), in_quotes(value),
                         fmt::format("an IPv4 address in the guest's network, {}", net_text));
  };
  address("host", user.host);
  address("dns", user.dns);
  address("dhcpStart", user.dhcp_start);
}

void check_backend(Check& check, const std::string& path, const TapNetBackend& tap) {
  check.range(path + ".queues", tap.queues, 1, 256);
  check_interface_name(check, path + ".ifname", tap.ifname);
  check_interface_name(check, path + ".bridge", tap.bridge);
  check.text(path + ".script", tap.script);
  check.text(path + ".downScript", tap.down_script);
  const bool scripts = qemu_opens(tap);
  if (scripts && !tap.bridge.empty())
    check.problems.add(path + ".bridge", in_quotes(tap.bridge),
                       "either bridge, or script, which then has to add the interface to its bridge");
  if (tap.fds.empty()) return;
  const bool others = scripts || !tap.ifname.empty() || !tap.bridge.empty() || tap.queues != 1;
  check.no_effect(path + ".fds", others,
                  "together with ifname, bridge, queues or a script: it is an interface that is open already");
  for (std::size_t i = 0; i < tap.fds.size(); ++i)
    check.range(fmt::format("{}.fds[{}]", path, i), tap.fds[i], 0, 1 << 20);
}

/// What only virtio devices make use of.
void check_model(Check& check, const std::string& path, const TapNetBackend& tap, const std::string& model) {
  if (is_virtio_net(model)) return;
  const std::string which = fmt::format("for model {}; \"virtio\" has it", in_quotes(model));
  check.no_effect(path + ".backend.vhost", tap.vhost, which);
  check.no_effect(path + ".backend.queues", queues_of(tap) > 1, which);
}

void check_port(Check& check, const std::string& path, int port) {
  if (port != 0) check.range(path + ".port", port, 1, max_port);
}

void check_reconnect(Check& check, const std::string& path, int seconds, bool server) {
  check.range(path + ".reconnect", seconds, 0, 86'400);
  check.no_effect(path + ".reconnect", seconds > 0 && server, "for a server, which waits anyway");
}

void check_backend(Check& check, const std::string& path, const SocketNetBackend& socket) {
  check.text(path + ".path", socket.path);
  check.text(path + ".host", socket.host);
  if (!socket.multicast.empty() && !is_multicast(socket.multicast))
    check.problems.add(path + ".multicast", in_quotes(socket.multicast),
                       "the IPv4 address of a group, 224.0.0.0 to 239.255.255.255, and a port: \"230.0.0.1:1234\"");
  check_port(check, path, socket.port);
  const int ways = !socket.path.empty() + (socket.port != 0) + !socket.multicast.empty();
  if (ways != 1)
    check.problems.add(path, ways == 0 ? "neither path nor port nor multicast" : "several of path, port and multicast",
                       "one of them");
  check.no_effect(path + ".host", !socket.host.empty() && socket.port == 0, "without port");
  if (socket.port != 0 && socket.host.empty() && !socket.server)
    check.problems.add(path + ".host", "nothing", "the host that a client connects to");
  check.no_effect(path + ".server", socket.server && !socket.multicast.empty(), "for a multicast group");
  check.no_effect(path + ".reconnect", socket.reconnect > 0 && socket.path.empty(),
                  "without path; backends of type \"stream\" have it for TCP");
  if (!socket.path.empty()) check_reconnect(check, path, socket.reconnect, socket.server);
}

void check_backend(Check& check, const std::string& path, const StreamNetBackend& stream) {
  check.text(path + ".path", stream.path);
  check.text(path + ".host", stream.host);
  check_port(check, path, stream.port);
  if (stream.path.empty() == (stream.port == 0))
    check.problems.add(path, stream.path.empty() ? "neither path nor port" : "path and port", "one of the two");
  check.no_effect(path + ".host", !stream.host.empty() && stream.port == 0, "without port");
  if (stream.port != 0 && stream.host.empty() && !stream.server)
    check.problems.add(path + ".host", "nothing", "the host that a client connects to");
  check_reconnect(check, path, stream.reconnect, stream.server);
}

void check_backend(Check& check, const std::string& path, const VdeNetBackend& vde) {
  check.text(path + ".sock", vde.sock);
  check.text(path + ".group", vde.group);
  check_port(check, path, vde.port);
  const bool octal = !vde.mode.empty() && vde.mode.size() <= 4 &&
                     std::all_of(vde.mode.begin(), vde.mode.end(), [](char c) { return c >= '0' && c <= '7'; });
  if (!vde.mode.empty() && !octal)
    check.problems.add(path + ".mode", in_quotes(vde.mode), "octal digits, such as \"0770\"");
}

void check_backend(Check& check, const std::string& path, const BridgeNetBackend& bridge) {
  check_interface_name(check, path + ".bridge", bridge.bridge);
  check.text(path + ".helper", bridge.helper);
}

/// That what belongs to one network only does not belong to two.
class Owners {
 public:
  explicit Owners(Check& check) : check_(check) {}

  void add(const std::string& path, const TapNetBackend& tap) {
    if (!tap.ifname.empty()) add(path + ".ifname", in_quotes(tap.ifname));
    for (std::size_t i = 0; i < tap.fds.size(); ++i)
      add(fmt::format("{}.fds[{}]", path, i), fmt::format("descriptor {}", tap.fds[i]));
  }

 private:
  void add(const std::string& path, const std::string& what) {
    const auto [first, inserted] = paths_.emplace(what, path);
    if (!inserted)
      check_.problems.add(path, fmt::format("{}, which {} has, too", what, first->second), "a different one for each");
  }

  Check& check_;
  std::map<std::string, std::string> paths_;
};

} // namespace

void check_networks(Check& check) {
  const VmConfig& config = check.config;
  Owners owners(check);
  for (std::size_t i = 0; i < config.networks.size(); ++i) {
    const NetworkConfig& network = config.networks[i];
    const std::string path = fmt::format("networks[{}]", i);
    check.id(path + ".id", network.id);
    check.needed(path + ".model", network.model, "a network device, such as \"virtio-net-pci\"");
    if (!network.mac_address.empty() && !is_mac_address(network.mac_address))
      check.problems.add(path + ".macAddr", in_quotes(network.mac_address),
                         "the address of one device, such as \"52:54:00:12:34:56\" (the first byte even)");
    std::visit([&](const auto& backend) { check_backend(check, path + ".backend", backend); }, network.backend);
    if (const auto* tap = std::get_if<TapNetBackend>(&network.backend)) {
      check_model(check, path, *tap, network.model);
      owners.add(path + ".backend", *tap);
    }
    if (const auto end = stream_end(network.backend); end && end->server)
      check.own_path(path + ".backend.path", end->path);
    check.boot_index(path, network.boot_index);
  }
  // 0 to 2 are the hypervisor, the loopback and the host (linux/vm_sockets.h); the last one means "any".
  if (config.vsock) check.range("vsock.guestCid", config.vsock->guest_cid, 3U, 4'294'967'294U);
}

} // namespace qemuctl::detail
