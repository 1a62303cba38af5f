// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace qemuctl {

/// User-mode NAT.
struct UserNetBackend {
  std::vector<std::string> host_forwards; ///< QEMU's `hostfwd`: "tcp::2222-:22"
  std::string net;                        ///< the guest's network, "10.0.2.0/24"; the other addresses lie in it
  std::string host;                       ///< the host's address there
  std::string dns;                        ///< the name server's address there
  std::string dhcp_start;                 ///< the first of the 16 addresses that DHCP assigns
  bool restrict = false;                  ///< the guest is isolated except for the forwards
  bool operator==(const UserNetBackend&) const = default;
};

/// A TAP interface of the host. The launching process opens it and hands it to QEMU, which needs no privileges.
struct TapNetBackend {
  std::string ifname;      ///< created if it does not exist; empty: the kernel chooses
  std::string bridge;      ///< the bridge it becomes a port of; empty: none
  std::string script;      ///< run by QEMU, which then opens the interface itself; empty or "no": none
  std::string down_script; ///< likewise, to take it down
  bool vhost = false;      ///< packets are moved by the kernel (vhost-net)
  int queues = 1;          ///< 1 to 256
  /// Open descriptors of a TAP interface, one per queue, borrowed until the VM is launched; replaces all of the above.
  std::vector<int> fds;
  bool operator==(const TapNetBackend&) const = default;
};

/// Packets over a socket between VMs: a Unix socket, TCP, or a multicast group.
struct SocketNetBackend {
  std::string path;      ///< Unix socket (as `StreamNetBackend`, which QEMU has since 7.2), or
  std::string host;      ///< TCP; with `server` empty means all addresses
  int port = 0;          ///< 1 to 65535
  std::string multicast; ///< or "ADDRESS:PORT", a group
  bool server = false;   ///< listens for one client
  int reconnect = 0;     ///< seconds, for a client of a Unix socket; 0: never
  bool operator==(const SocketNetBackend&) const = default;
};

/// Packets over a stream socket. QEMU 7.2 or newer.
struct StreamNetBackend {
  std::string path; ///< Unix socket, or
  std::string host; ///< TCP
  int port = 0;     ///< 1 to 65535
  bool server = false;
  int reconnect = 0; ///< seconds, for a client; 0: never. QEMU 8.0 or newer
  bool operator==(const StreamNetBackend&) const = default;
};

/// A VDE switch.
struct VdeNetBackend {
  std::string sock; ///< its folder; empty: VDE's default
  int port = 0;     ///< of the switch; 0: any
  std::string group;
  std::string mode; ///< octal digits, "0770"
  bool operator==(const VdeNetBackend&) const = default;
};

/// A bridge of the host, through QEMU's setuid helper.
struct BridgeNetBackend {
  std::string bridge; ///< empty: "br0"
  std::string helper; ///< path; empty: QEMU's own
  bool operator==(const BridgeNetBackend&) const = default;
};

using NetworkBackend =
    std::variant<UserNetBackend, TapNetBackend, SocketNetBackend, StreamNetBackend, VdeNetBackend, BridgeNetBackend>;

struct NetworkConfig {
  std::string id; ///< empty: "net0", "net1", ...
  NetworkBackend backend;
  std::string model = "virtio-net-pci"; ///< QEMU's device; "virtio": the variant for the machine's bus
  /// Empty: derived from the VM's name and this device's id. (QEMU's own default is the same for the first device of
  /// every VM, so two of them could not share a network.)
  std::string mac_address;
  std::optional<int> boot_index; ///< 0 is first
  bool operator==(const NetworkConfig&) const = default;
};

/// A socket between guest and host without a network.
struct VsockConfig {
  std::uint32_t guest_cid = 0; ///< the guest's address, 3 to 4294967294; no other VM of the host may have it
  bool operator==(const VsockConfig&) const = default;
};

} // namespace qemuctl
