// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "host_interfaces.hpp"

#include <fmt/format.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string_view>
#include <system_error>

namespace qemuctl::detail {

namespace {

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::system_category(), what);
}

/// The attributes of a netlink message, one after the other: `use(type, data)` for each.
template<typename Use>
void for_each_attribute(std::string_view bytes, Use use) {
  while (bytes.size() >= sizeof(nlattr)) {
    nlattr header{};
    std::memcpy(&header, bytes.data(), sizeof header);
    if (header.nla_len < sizeof header || header.nla_len > bytes.size()) return;
    use(header.nla_type & NLA_TYPE_MASK, bytes.substr(sizeof header, header.nla_len - sizeof header));
    bytes.remove_prefix(std::min<std::size_t>(NLA_ALIGN(header.nla_len), bytes.size()));
  }
}

template<typename Number>
Number number(std::string_view data) {
  Number value{};
  if (data.size() >= sizeof value) std::memcpy(&value, data.data(), sizeof value);
  return value;
}

std::string text(std::string_view data) {
  return std::string(data.substr(0, data.find('\0')));
}

void read_tun(HostInterface& interface, std::string_view attributes) {
  for_each_attribute(attributes, [&](int type, std::string_view data) {
    if (type == IFLA_TUN_TYPE) interface.tap = number<std::uint8_t>(data) == IFF_TAP;
    if (type == IFLA_TUN_MULTI_QUEUE) interface.multi_queue = number<std::uint8_t>(data) != 0;
  });
}

HostInterface read_interface(std::string_view message) {
  const auto header = number<ifinfomsg>(message);
  HostInterface interface;
  interface.index = header.ifi_index;
  interface.up = (header.ifi_flags & IFF_UP) != 0;
  std::string_view data_of_kind;
  const auto read_kind = [&](int type, std::string_view data) {
    if (type == IFLA_INFO_KIND) interface.kind = text(data);
    if (type == IFLA_INFO_DATA) data_of_kind = data;
  };
  const auto read = [&](int type, std::string_view data) {
    if (type == IFLA_MASTER) interface.master = number<std::int32_t>(data);
    if (type == IFLA_MTU) interface.mtu = number<std::uint32_t>(data);
    if (type == IFLA_CARRIER) interface.carrier = number<std::uint8_t>(data) != 0;
    if (type == IFLA_LINKINFO) for_each_attribute(data, read_kind);
  };
  for_each_attribute(message.substr(std::min(message.size(), std::size_t{NLMSG_ALIGN(sizeof header)})), read);
  if (interface.kind == "tun") read_tun(interface, data_of_kind);
  return interface;
}

/// A request for one interface by its name (rtnetlink(7), RTM_GETLINK).
struct LinkRequest {
  nlmsghdr header{};
  ifinfomsg link{};
  nlattr name_header{};
  std::array<char, IFNAMSIZ> name{};

  explicit LinkRequest(const std::string& wanted) {
    header.nlmsg_len = sizeof *this;
    header.nlmsg_type = RTM_GETLINK;
    header.nlmsg_flags = NLM_F_REQUEST;
    name_header.nla_len = sizeof name_header + sizeof name;
    name_header.nla_type = IFLA_IFNAME;
    wanted.copy(name.data(), name.size() - 1);
  }
};

/// A request to the kernel's table of interfaces, for the one in `request`.
void change(unsigned long what, ifreq& request, const std::string& message) {
  const FileDescriptor socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket || ::ioctl(socket.get(), what, &request) != 0) fail(message);
}

ifreq request_for(const std::string& name) {
  ifreq request{};
  name.copy(request.ifr_name, sizeof request.ifr_name - 1);
  return request;
}

} // namespace

std::optional<HostInterface> find_interface(const std::string& name) {
  const std::string message = fmt::format("ask the kernel for the interface {}", name);
  const FileDescriptor socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!socket) fail(message);
  const LinkRequest request(name);
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  if (::sendto(socket.get(), &request, sizeof request, 0, reinterpret_cast<const sockaddr*>(&kernel), sizeof kernel) <
      0)
    fail(message);
  // The kernel answers before sendto returns, with one message, of some KiB.
  std::array<char, 32'768> buffer;
  ssize_t size = 0;
  do size = ::recv(socket.get(), buffer.data(), buffer.size(), 0);
  while (size < 0 && errno == EINTR);
  if (size < 0) fail(message);
  const std::string_view answer(buffer.data(), static_cast<std::size_t>(size));
  const auto header = number<nlmsghdr>(answer);
  if (header.nlmsg_len < NLMSG_HDRLEN || header.nlmsg_len > answer.size()) {
    errno = EBADMSG;
    fail(message);
  }
  const std::string_view body = answer.substr(NLMSG_HDRLEN, header.nlmsg_len - NLMSG_HDRLEN);
  if (header.nlmsg_type == RTM_NEWLINK) return read_interface(body);
  errno = -number<nlmsgerr>(body).error;
  if (errno == ENODEV) return std::nullopt;
  fail(message);
}

void put_interface_up(const std::string& name) {
  const std::string message = fmt::format("put the interface {} up", name);
  ifreq request = request_for(name);
  change(SIOCGIFFLAGS, request, message);
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  change(SIOCSIFFLAGS, request, message);
}

void set_interface_mtu(const std::string& name, std::uint32_t mtu) {
  ifreq request = request_for(name);
  request.ifr_mtu = static_cast<int>(mtu);
  change(SIOCSIFMTU, request, fmt::format("give the interface {} an MTU of {}", name, mtu));
}

void raise_interface_address(const std::string& name) {
  const std::string message = fmt::format("give the interface {} a high address", name);
  ifreq request = request_for(name);
  change(SIOCGIFHWADDR, request, message);
  request.ifr_hwaddr.sa_data[0] = static_cast<char>(0xfe);
  change(SIOCSIFHWADDR, request, message);
}

void add_to_bridge(const std::string& bridge, int port_index) {
  ifreq request = request_for(bridge);
  request.ifr_ifindex = port_index;
  change(SIOCBRADDIF, request, fmt::format("add a port to the bridge {}", bridge));
}

std::optional<OpenTap> tap_of(int fd) {
  ifreq request{};
  if (::ioctl(fd, TUNGETIFF, &request) != 0) return std::nullopt;
  OpenTap tap;
  tap.name.assign(request.ifr_name, ::strnlen(request.ifr_name, sizeof request.ifr_name));
  tap.tap = (request.ifr_flags & IFF_TAP) != 0;
  return tap;
}

} // namespace qemuctl::detail
