// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// TAP interfaces and bridges, in a network namespace.
#include "ask.hpp"
#include "golden.hpp"
#include "host_interfaces.hpp"
#include "machine.hpp"
#include "network_namespace.hpp"
#include "skip.hpp"
#include "small_vm.hpp"

#include <qemuctl/error.hpp>
#include <qemuctl/file_descriptor.hpp>

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <vector>

using namespace qemuctl;
using Catch::Matchers::ContainsSubstring;
using detail::find_interface;

namespace {

FileDescriptor open_queue(const std::string& name, int flags) {
  FileDescriptor fd(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  ifreq request{};
  name.copy(request.ifr_name, sizeof request.ifr_name - 1);
  request.ifr_flags = static_cast<short>(flags);
  REQUIRE(::ioctl(fd.get(), TUNSETIFF, &request) == 0);
  return fd;
}

NetworkConfig with_tap(const TapNetBackend& tap) {
  NetworkConfig network;
  network.backend = tap;
  return network;
}

VmConfig vm_with(const std::filesystem::path& qemu, const test::TempDir& dir, const TapNetBackend& tap) {
  VmConfig config = test::small_vm(qemu, dir);
  config.networks.push_back(with_tap(tap));
  return config;
}

/// What a launch that fails says.
std::string refusal(const VmConfig& config) {
  try {
    test::ask(config, {});
  } catch (const Error& error) {
    return error.what();
  }
  return "it was launched";
}

/// Without the capability until the end of the scope; a program that is executed has it again.
class WithoutNetAdmin {
 public:
  WithoutNetAdmin() { set(false); }
  ~WithoutNetAdmin() { set(true); }
  WithoutNetAdmin(const WithoutNetAdmin&) = delete;
  WithoutNetAdmin& operator=(const WithoutNetAdmin&) = delete;

 private:
  static void set(bool effective) {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2]{};
    REQUIRE(::syscall(SYS_capget, &header, data) == 0);
    constexpr std::uint32_t bit = 1U << CAP_NET_ADMIN;
    data[0].effective = effective ? data[0].effective | bit : data[0].effective & ~bit;
    REQUIRE(::syscall(SYS_capset, &header, data) == 0);
  }
};

} // namespace

QEMU_TEST_CASE("a TAP interface is created, brought up and added to its bridge, and disappears with QEMU") {
  const test::NetworkNamespace space;
  const test::TempDir dir;
  test::shell("ip link add br7 address 0a:00:00:00:00:01 mtu 1400 type bridge");
  TapNetBackend tap;
  tap.ifname = "tap7";
  tap.bridge = "br7";
  test::while_running(vm_with(qemu, dir, tap), [](const test::Answers& answers) {
    const auto made = find_interface("tap7");
    REQUIRE(made);
    CHECK(made->tap);
    CHECK(made->up);
    CHECK(made->carrier);
    CHECK_FALSE(made->multi_queue);
    CHECK(made->master == find_interface("br7")->index);
    CHECK(made->mtu == 1400);
    // A bridge takes the lowest address and the smallest MTU of its ports.
    CHECK_THAT(test::shell("ip link show br7"),
               ContainsSubstring("0a:00:00:00:00:01") && ContainsSubstring("mtu 1400"));
    CHECK_THAT(test::shell("ip link show tap7"), ContainsSubstring("link/ether fe:"));
    CHECK_THAT(answers(test::human("info network")).as_string(),
               ContainsSubstring("net0-netdev: index=0,type=tap,fd="));
  });
  CHECK_FALSE(find_interface("tap7"));
}

QEMU_TEST_CASE("the kernel names a TAP interface that has no name") {
  const test::NetworkNamespace space;
  const test::TempDir dir;
  VmConfig config = vm_with(qemu, dir, {});
  config.networks.push_back(with_tap({}));
  test::while_running(config, [](const test::Answers&) {
    CHECK(find_interface("tap0"));
    CHECK(find_interface("tap1"));
  });
}

QEMU_TEST_CASE("an existing TAP interface is used unchanged, and stays") {
  const test::NetworkNamespace space;
  const test::TempDir dir;
  test::shell("ip tuntap add dev tap7 mode tap && ip link set tap7 address 02:00:00:00:00:07");
  TapNetBackend tap;
  tap.ifname = "tap7";
  test::while_running(vm_with(qemu, dir, tap), [&](const test::Answers&) {
    CHECK(find_interface("tap7")->up);
    CHECK_THAT(refusal([&] {
                 VmConfig other = vm_with(qemu, dir, tap);
                 other.name = "other";
                 return other;
               }()),
               ContainsSubstring("networks[0].backend.ifname: tap7 is in use by another program"));
  });
  const auto left = find_interface("tap7");
  REQUIRE(left);
  CHECK_FALSE(left->carrier);
  CHECK_THAT(test::shell("ip link show tap7"), ContainsSubstring("02:00:00:00:00:07"));
}

QEMU_TEST_CASE("an interface that root created for a user needs no privileges") {
  const test::NetworkNamespace space;
  const test::TempDir dir;
  test::shell("ip link add br7 type bridge && ip tuntap add dev tap7 mode tap user root && "
              "ip link set tap7 master br7 && ip link set tap7 up");
  TapNetBackend tap;
  tap.ifname = "tap7";
  tap.bridge = "br7";
  const WithoutNetAdmin rights;
  CHECK(test::ask(vm_with(qemu, dir, tap), {test::status()})[0].at("status") == Json("prelaunch"));
}

QEMU_TEST_CASE("without privileges the error names the alternatives to a TAP interface") {
  const test::NetworkNamespace space;
  const test::TempDir dir;
  TapNetBackend tap;
  tap.ifname = "tap7";
  const WithoutNetAdmin rights;
  CHECK_THAT(refusal(vm_with(qemu, dir, tap)),
             ContainsSubstring("networks[0].backend: open the TAP interface tap7: Operation not permitted") &&
                 ContainsSubstring("CAP_NET_ADMIN") && ContainsSubstring("\"bridge\"") && ContainsSubstring("fds"));
}

QEMU_TEST_CASE("a TAP interface has the configured number of queues, and the device uses them") {
  const test::NetworkNamespace space;
  const test::TempDir dir;
  TapNetBackend tap;
  tap.ifname = "tap7";
  tap.queues = 4;
  test::while_running(vm_with(qemu, dir, tap), [](const test::Answers& answers) {
    CHECK(find_interface("tap7")->multi_queue);
    // Disabled until a driver in the guest enables them.
    CHECK_THAT(test::shell("ip -details link show tap7"), ContainsSubstring("multi_queue numqueues 1 numdisabled 3 "));
    CHECK(answers(test::property("/machine/peripheral/net0", "mq")) == Json(true));
    CHECK(answers(test::property("/machine/peripheral/net0", "vectors")) == Json(10));
    CHECK_THAT(answers(test::human("info network")).as_string(), ContainsSubstring("index=3,type=tap"));
  });
  CHECK_FALSE(find_interface("tap7"));
}

QEMU_TEST_CASE("an existing multi-queue interface opens with one queue, a single-queue one not with several") {
  const test::NetworkNamespace space;
  const test::TempDir dir;
  test::shell("ip tuntap add dev many mode tap multi_queue && ip tuntap add dev one mode tap");
  TapNetBackend tap;
  tap.ifname = "many";
  CHECK(test::ask(vm_with(qemu, dir, tap), {test::status()})[0].at("status") == Json("prelaunch"));
  tap.ifname = "one";
  tap.queues = 2;
  CHECK_THAT(refusal(vm_with(qemu, dir, tap)), ContainsSubstring("networks[0].backend.queues: one exists and has one"));
}

QEMU_TEST_CASE("descriptors of a TAP interface are passed on") {
  const test::NetworkNamespace space;
  const test::TempDir dir;
  const FileDescriptor one = open_queue("one", IFF_TAP | IFF_NO_PI);
  std::vector<FileDescriptor> several;
  for (int i = 0; i < 3; ++i)
    several.push_back(open_queue("several", IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE));
  TapNetBackend first;
  first.fds = {one.get()};
  VmConfig config = vm_with(qemu, dir, first);
  TapNetBackend second;
  for (const FileDescriptor& queue : several) second.fds.push_back(queue.get());
  config.networks.push_back(with_tap(second));
  const std::vector<Json> answers =
      test::ask(config, {test::human("info network"), test::property("/machine/peripheral/net1", "mq")});
  CHECK_THAT(answers[0].as_string(), ContainsSubstring("net0-netdev: index=0,type=tap,fd=") &&
                                         ContainsSubstring("net1-netdev: index=2,type=tap,fd="));
  CHECK(answers[1] == Json(true));
}

QEMU_TEST_CASE("a frame sent into the interface arrives in QEMU") {
  const test::NetworkNamespace space;
  const test::TempDir dir;
  test::shell("echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6"); // no other frames
  TapNetBackend tap;
  tap.ifname = "tap7";
  VmConfig config = vm_with(qemu, dir, tap);
  const std::string dump = dir / "dump.pcap";
  config.extra_args = {"-object", "filter-dump,id=dump,netdev=net0-netdev,file=" + dump};
  const std::string payload = "qemuctl was here, in a frame of its own, and as long as the smallest one";
  test::while_running(config, [&](const test::Answers& answers) {
    const FileDescriptor packets(::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_ll to{};
    to.sll_family = AF_PACKET;
    to.sll_protocol = htons(ETH_P_802_EX1);
    to.sll_ifindex = find_interface("tap7")->index;
    to.sll_halen = ETH_ALEN;
    std::memset(to.sll_addr, 0xff, ETH_ALEN);
    REQUIRE(::sendto(packets.get(), payload.data(), payload.size(), 0, reinterpret_cast<const sockaddr*>(&to),
                     sizeof to) == static_cast<ssize_t>(payload.size()));
    // QEMU's main loop reads the frame and replies; each query gives it another turn.
    for (int i = 0; i < 1000 && test::read_file(dump).find(payload) == std::string::npos; ++i) answers(test::status());
    CHECK_THAT(test::read_file(dump), ContainsSubstring(payload));
  });
}

QEMU_TEST_CASE("QEMU runs a program to set the interface up, and another at the end") {
  const test::NetworkNamespace space;
  const test::TempDir dir;
  for (const char* name : {"up,1", "down"}) {
    test::write_file(dir / name, fmt::format("#!/bin/sh\necho \"$1\" >\"{}/ran {}\"\n", dir.path().string(), name));
    std::filesystem::permissions(dir / name, std::filesystem::perms::owner_all);
  }
  TapNetBackend tap;
  tap.ifname = "tap7";
  tap.script = dir / "up,1";
  tap.down_script = dir / "down";
  test::while_running(vm_with(qemu, dir, tap), [&](const test::Answers& answers) {
    CHECK(test::read_file(dir / "ran up,1") == "tap7\n");
    answers({"quit", {}});
  });
  CHECK(test::read_file(dir / "ran down") == "tap7\n");
  CHECK_FALSE(find_interface("tap7"));
  std::filesystem::permissions(dir / "down", std::filesystem::perms::owner_read);
  CHECK_THAT(refusal(vm_with(qemu, dir, tap)), ContainsSubstring("networks[0].backend.downScript"));
}

QEMU_TEST_CASE("an invalid TAP interface or bridge is rejected before anything starts") {
  const test::NetworkNamespace space;
  const test::TempDir dir;
  test::shell("ip link add veth0 type veth peer name veth1");
  const FileDescriptor tun = open_queue("tun0", IFF_TUN | IFF_NO_PI);
  const FileDescriptor file(::open("/dev/null", O_RDWR | O_CLOEXEC));
  VmConfig config = test::small_vm(qemu, dir);
  for (const char* name : {"veth0", "lo", "tun0"}) {
    TapNetBackend tap;
    tap.ifname = name;
    config.networks.push_back(with_tap(tap));
  }
  for (const char* bridge : {"br7", "veth0"}) {
    TapNetBackend tap;
    tap.bridge = bridge;
    config.networks.push_back(with_tap(tap));
  }
  TapNetBackend fds;
  fds.fds = {file.get(), tun.get(), 100'000};
  config.networks.push_back(with_tap(fds));
  NetworkConfig helper;
  BridgeNetBackend bridge;
  bridge.helper = dir / "helper";
  helper.backend = bridge;
  config.networks.push_back(helper);
  const std::string text = refusal(config);
  CHECK_THAT(text, ContainsSubstring("networks[0].backend.ifname: veth0 exists and is no TAP interface"));
  CHECK_THAT(text, ContainsSubstring("networks[1].backend.ifname: lo exists and is no TAP interface"));
  CHECK_THAT(text, ContainsSubstring("networks[2].backend.ifname: tun0 exists and is no TAP interface"));
  CHECK_THAT(text, ContainsSubstring("networks[3].backend.bridge: there is no interface br7; \"ip link add br7"));
  CHECK_THAT(text, ContainsSubstring("networks[4].backend.bridge: veth0 is no bridge of Linux (it is a veth)"));
  CHECK_THAT(text, ContainsSubstring("networks[5].backend.fds[0]: descriptor"));
  CHECK_THAT(text, ContainsSubstring("networks[5].backend.fds[1]") && ContainsSubstring("of tun0, a TUN interface"));
  CHECK_THAT(text, ContainsSubstring("networks[5].backend.fds[2]: descriptor 100000 is not open"));
  CHECK_THAT(text, ContainsSubstring("networks[6].backend.bridge: there is no interface br0"));
  CHECK_THAT(text, ContainsSubstring("networks[6].backend.helper"));
}

QEMU_TEST_CASE("QEMU's helper adds a port to a bridge") {
  constexpr const char* helper_of_qemu = "/usr/lib/qemu/qemu-bridge-helper";
  if (::access(helper_of_qemu, X_OK) != 0) test::skip("there is no qemu-bridge-helper");
  const test::NetworkNamespace space;
  const test::TempDir dir;
  test::shell("ip link add br7 type bridge");
  // It reads the allowed bridges from a fixed path, which is created for it alone.
  test::write_file(dir / "helper",
                   fmt::format("#!/bin/sh\nexec unshare --mount sh -ec 'mount -t tmpfs none /etc; mkdir /etc/qemu; "
                               "echo allow br7 >/etc/qemu/bridge.conf; exec {} \"$@\"' sh \"$@\"\n",
                               helper_of_qemu));
  std::filesystem::permissions(dir / "helper", std::filesystem::perms::owner_all);
  BridgeNetBackend bridge;
  bridge.bridge = "br7";
  bridge.helper = dir / "helper";
  VmConfig config = test::small_vm(qemu, dir);
  config.networks.emplace_back().backend = bridge;
  test::while_running(config, [](const test::Answers& answers) {
    CHECK_THAT(answers(test::human("info network")).as_string(), ContainsSubstring("br=br7"));
    CHECK_THAT(test::shell("ip link show master br7"), ContainsSubstring("tap0"));
  });
  CHECK_FALSE(find_interface("tap0"));
}
