// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "formats.hpp"

#include <cstdint>
#include <utility>

namespace qemuctl::detail {

namespace {

constexpr int max_reconnect = 86'400;

Format<UserNetBackend> user_backend() {
  using T = UserNetBackend;
  return object<T>({
      kind_key<T>("type", "user", "NAT in user space, which needs no rights and no preparation"),
      key<T>(
          "hostfwd", &T::host_forwards, list_of(text()),
          "Ports of the host that lead into the guest: `[tcp|udp]:[HOST ADDRESS]:PORT-[GUEST ADDRESS]:PORT`, such as "
          "`tcp::2222-:22`"),
      key<T>("net", &T::net, text(), "The guest's network. Default: `10.0.2.0/24`"),
      key<T>("host", &T::host, text(), "The host's address in it. Default: its second, `10.0.2.2`"),
      key<T>("dns", &T::dns, text(), "The name server's address in it. Default: its third, `10.0.2.3`"),
      key<T>("dhcpStart", &T::dhcp_start, text(), "The first address that DHCP gives out. Default: `10.0.2.15`"),
      key<T>("restrict", &T::restrict, boolean(), "The guest reaches nothing but the forwarded ports. Default: false"),
  });
}

Format<TapNetBackend> tap_backend() {
  using T = TapNetBackend;
  return object<T>({
      kind_key<T>("type", "tap", "A TAP interface of the host"),
      key<T>("ifname", &T::ifname, text(), "Its name; made when there is none. Default: the kernel chooses"),
      key<T>("bridge", &T::bridge, text(), "The bridge it becomes a port of"),
      key<T>("script", &T::script, file_path_or({"no"}), "A program that QEMU sets it up with. Default: `no`"),
      key<T>("downScript", &T::down_script, file_path_or({"no"}), "The same at its end. Default: `no`"),
      key<T>("vhost", &T::vhost, boolean(), "Packets are moved by the kernel. Default: false"),
      key<T>("queues", &T::queues, whole_number(1, 256), "Queues. Default: 1"),
      key<T>("fds", &T::fds, list_of(whole_number(0, any_number)),
             "Open descriptors of an interface that `qemuctl-run` inherits, one for each queue; instead of the rest"),
  });
}

Format<SocketNetBackend> socket_backend() {
  using T = SocketNetBackend;
  return object<T>({
      kind_key<T>("type", "socket", "Another VM, or several, by a socket"),
      key<T>("path", &T::path, file_path(), "A Unix socket; this, `port` or `multicast`"),
      key<T>("host", &T::host, text(), "The TCP server. Default for a server: all addresses"),
      key<T>("port", &T::port, whole_number(1, max_port), "The TCP port"),
      key<T>("multicast", &T::multicast, text(), "A multicast group: `230.0.0.1:1234`"),
      key<T>("server", &T::server, boolean(), "Listens, and takes one client. Default: false"),
      key<T>("reconnect", &T::reconnect, whole_number(1, max_reconnect),
             "Seconds after which a client of a Unix socket tries again; QEMU 8.0. Default: it does not"),
  });
}

Format<StreamNetBackend> stream_backend() {
  using T = StreamNetBackend;
  return object<T>({
      kind_key<T>("type", "stream", "Another VM by a stream socket; QEMU 7.2"),
      key<T>("path", &T::path, file_path(), "A Unix socket; this or `port`"),
      key<T>("host", &T::host, text(), "The TCP server. Default for a server: all addresses"),
      key<T>("port", &T::port, whole_number(1, max_port), "The TCP port"),
      key<T>("server", &T::server, boolean(), "Listens, and takes one client. Default: false"),
      key<T>("reconnect", &T::reconnect, whole_number(1, max_reconnect),
             "Seconds after which a client tries again; QEMU 8.0. Default: it does not"),
  });
}

Format<VdeNetBackend> vde_backend() {
  using T = VdeNetBackend;
  return object<T>({
      kind_key<T>("type", "vde", "A VDE switch"),
      key<T>("sock", &T::sock, file_path(), "Its folder. Default: VDE's"),
      key<T>("port", &T::port, whole_number(1, max_port), "Its port. Default: any"),
      key<T>("group", &T::group, text(), "The group of our socket"),
      key<T>("mode", &T::mode, text(), "The mode of our socket: `0770`"),
  });
}

Format<BridgeNetBackend> bridge_backend() {
  using T = BridgeNetBackend;
  return object<T>({
      kind_key<T>("type", "bridge", "A bridge of the host, by QEMU's helper, which has the rights to do so"),
      key<T>("bridge", &T::bridge, text(), "Default: `br0`"),
      key<T>("helper", &T::helper, file_path(), "The helper. Default: QEMU's own"),
  });
}

Format<NetworkBackend> network_backend() {
  return one_of_kinds<NetworkBackend>("type", {{"user", as_kind<NetworkBackend>(user_backend())},
                                               {"tap", as_kind<NetworkBackend>(tap_backend())},
                                               {"socket", as_kind<NetworkBackend>(socket_backend())},
                                               {"stream", as_kind<NetworkBackend>(stream_backend())},
                                               {"vde", as_kind<NetworkBackend>(vde_backend())},
                                               {"bridge", as_kind<NetworkBackend>(bridge_backend())}});
}

const char* const model_text = "QEMU's device. Default: `virtio-net-pci`; `virtio` is that of the machine's own bus";

} // namespace

Format<NetworkConfig> network_format() {
  using T = NetworkConfig;
  return object<T>({
      key<T>("id", &T::id, text(), "The device's id in QEMU. Default: `net0`, `net1`, ..."),
      key<T>("backend", &T::backend, network_backend(), "What it is connected to. Default: `{\"type\": \"user\"}`"),
      key<T>("model", &T::model, text(), model_text),
      key<T>("macAddr", &T::mac_address, text(), "The MAC address. Default: made of the VM's name and this id"),
      key<T>("bootIndex", &T::boot_index, whole_number(0, any_number), "Its place in the boot order, from 0"),
  });
}

Format<NetworkConfig> network_device_format() {
  using T = NetworkConfig;
  const auto tap = [](T& network) -> TapNetBackend& {
    if (!std::holds_alternative<TapNetBackend>(network.backend)) network.backend = TapNetBackend();
    return std::get<TapNetBackend>(network.backend);
  };
  const auto set_bridge = [tap](T& network, std::string value) { tap(network).bridge = std::move(value); };
  const auto set_script = [tap](T& network, std::string value) { tap(network).script = std::move(value); };
  const auto set_down_script = [tap](T& network, std::string value) { tap(network).down_script = std::move(value); };
  const auto set_path = [](T& network, std::string value) {
    SocketNetBackend backend;
    backend.path = std::move(value);
    network.backend = std::move(backend);
  };
  const auto set_server = [](T& network, bool value) { std::get<SocketNetBackend>(network.backend).server = value; };
  const auto id = key<T>("id", &T::id, text(), "The device's id in QEMU. Default: `net0`, `net1`, ...");
  const auto model = key<T>("model", &T::model, text(), model_text);
  const auto mac =
      key<T>("macAddr", &T::mac_address, text(), "The MAC address. Default: made of the VM's name and this id");
  const auto type = [](const char* kind, NetworkBackend backend, const char* description) {
    return required(key<T>(
        "type", [backend](T& network, const std::string&) { network.backend = backend; }, word({kind}), description));
  };
  auto user_kind = object<T>({type("user", UserNetBackend(), "NAT in user space"), id, model, mac});
  auto tap_kind = object<T>(
      {type("tap", TapNetBackend(), "A TAP interface of the host"), id, model, mac,
       key<T>("bridge", set_bridge, text(), "The bridge it becomes a port of"),
       key<T>("script", set_script, file_path_or({"no"}), "A program that QEMU sets it up with. Default: `no`"),
       key<T>("downScript", set_down_script, file_path_or({"no"}), "The same at its end. Default: `no`")});
  auto socket_kind =
      object<T>({type("socket", SocketNetBackend(), "Another VM by a Unix socket"), id, model, mac,
                 required(key<T>("socketPath", set_path, file_path(), "The socket")),
                 key<T>("server", set_server, boolean(), "Listens, and takes one client. Default: false")});
  return one_of_kinds<T>(
      "type", {{"user", std::move(user_kind)}, {"tap", std::move(tap_kind)}, {"socket", std::move(socket_kind)}});
}

Format<VsockConfig> vsock_format() {
  using T = VsockConfig;
  return object<T>({
      required(key<T>("guestCid", &T::guest_cid, number_32(3, 4'294'967'294), "The guest's address, of this VM alone")),
  });
}

} // namespace qemuctl::detail
