// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// The network interfaces of the host, in the network namespace of this process.
#pragma once

#include <qemuctl/file_descriptor.hpp>

#include <cstdint>
#include <optional>
#include <string>

namespace qemuctl::detail {

struct HostInterface {
  int index = 0;
  std::string kind; ///< the kernel's word: "tun" (TAP, too), "bridge", "veth"; empty: hardware
  int master = 0;   ///< the index of the bridge that it is a port of; 0: none
  std::uint32_t mtu = 0;
  bool up = false;
  bool carrier = false;                  ///< of a TAP interface: some program has it open
  bool tap = false, multi_queue = false; ///< of kind "tun"
};

/// Needs no privileges. nullopt: no such interface. Throws `std::system_error` if the kernel cannot be queried.
std::optional<HostInterface> find_interface(const std::string& name);

/// @name Changes, which need CAP_NET_ADMIN
/// Each throws `std::system_error`.
/// @{
void put_interface_up(const std::string& name);
void set_interface_mtu(const std::string& name, std::uint32_t mtu);
/// A bridge takes the lowest address of its ports, so a port that comes and goes must have a high one: sets the first
/// byte to 0xfe and keeps the rest.
void raise_interface_address(const std::string& name);
void add_to_bridge(const std::string& bridge, int port_index);
/// @}

/// The interface that a descriptor of /dev/net/tun belongs to; nullopt: not open, or no such descriptor.
struct OpenTap {
  std::string name;
  bool tap = false; ///< else a TUN interface, without Ethernet
};
std::optional<OpenTap> tap_of(int fd);

} // namespace qemuctl::detail
