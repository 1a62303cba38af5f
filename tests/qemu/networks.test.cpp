// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// Networks, as QEMU has them.
#include "ask.hpp"
#include "free_port.hpp"
#include "machine.hpp"
#include "network_namespace.hpp"
#include "temp_dir.hpp"
#include "vde_switch.hpp"

#include <qemuctl/error.hpp>
#include <qemuctl/file_descriptor.hpp>
#include <qemuctl/qemu_info.hpp>

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <filesystem>
#include <string>
#include <vector>

using namespace qemuctl;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
using test::ask;
using test::describe;
using test::human;
using test::PausedVm;
using test::property;

namespace {

/// A VM of its own name with one network.
VmConfig on_network(const std::string& name, const std::string& backend, const test::TempDir& dir,
                    const std::filesystem::path& qemu) {
  VmConfig config = describe(fmt::format(R"({{"memory": 64, "networks": [{{"backend": {}}}]}})", backend), dir, qemu);
  config.name = name;
  return config;
}

/// What a launch that fails says.
std::string refusal(const VmConfig& config) {
  try {
    PausedVm vm(config);
  } catch (const Error& error) {
    return error.what();
  }
  return "it was launched";
}

std::string network_of(PausedVm& vm) {
  return vm(human("info network")).as_string();
}

/// Asks until QEMU, whose main loop has one more turn for each answer, says `text`.
void wait_for_network(PausedVm& vm, const std::string& text) {
  for (int i = 0; i < 1000 && network_of(vm).find(text) == std::string::npos; ++i) continue;
  CHECK_THAT(network_of(vm), ContainsSubstring(text));
}

bool can_reconnect(const std::filesystem::path& qemu) {
  const QemuInfo info = test::run([&] { return probe_qemu(qemu); });
  return info.version >= QemuVersion{8, 0, 0};
}

} // namespace

QEMU_TEST_CASE("user networks have their MAC addresses and port forwards") {
  const test::TempDir dir;
  const VmConfig config = describe(R"({"networks": [
    {"id": "lan", "backend": {"type": "user", "hostfwd": ["tcp:127.0.0.1:0-:22"]}, "macAddr": "52:54:00:aa:bb:cc"}, {}
  ]})",
                                   dir, qemu);
  const std::vector<Json> answers = ask(config, {property("/machine/peripheral/lan", "mac"), human("info usernet"),
                                                 human("info network"), property("/machine/peripheral/net1", "mac")});
  CHECK(answers[0] == Json("52:54:00:aa:bb:cc"));
  CHECK_THAT(answers[1].as_string(), ContainsSubstring("HOST_FORWARD"));
  CHECK_THAT(answers[2].as_string(), ContainsSubstring("net1-netdev"));
  CHECK_THAT(answers[3].as_string(), StartsWith("52:54:00:"));
  CHECK(answers[3] != Json("52:54:00:12:34:57")); // QEMU's default, which the second device of every VM would get
}

QEMU_TEST_CASE("a user network has the configured addresses, and forwards to them") {
  const int port = test::free_tcp_port();
  const test::TempDir dir;
  const VmConfig config = describe(fmt::format(R"({{"networks": [{{"backend": {{
    "type": "user", "net": "192.168.76.0/24", "host": "192.168.76.9", "dns": "192.168.76.8",
    "dhcpStart": "192.168.76.100", "restrict": true,
    "hostfwd": ["tcp:127.0.0.1:{}-192.168.76.101:22", "udp:127.0.0.1:0-:53"]}}}}]}})",
                                               port),
                                   dir, qemu);
  const std::vector<Json> answers = ask(config, {human("info network"), human("info usernet")});
  CHECK_THAT(answers[0].as_string(), ContainsSubstring("net=192.168.76.0,restrict=on"));
  CHECK_THAT(answers[1].as_string(), ContainsSubstring(fmt::format("127.0.0.1 {}  192.168.76.101    22", port)) &&
                                         ContainsSubstring("192.168.76.100    53"));
}

QEMU_TEST_CASE("network devices have their models and boot in order") {
  const test::TempDir dir;
  const VmConfig config = describe(R"({"networks": [
    {"model": "virtio", "bootIndex": 2}, {"model": "e1000e", "bootIndex": 0}, {"model": "rtl8139"}, {}
  ]})",
                                   dir, qemu);
  const std::vector<Json> answers =
      ask(config, {property("/machine/peripheral/net0", "type"), property("/machine/peripheral/net1", "type"),
                   property("/machine/peripheral/net2", "type"), property("/machine/peripheral/net3", "type"),
                   property("/machine/peripheral/net0", "bootindex"), property("/machine/peripheral/net1", "bootindex"),
                   property("/machine/peripheral/net2", "bootindex")});
  CHECK(answers == std::vector<Json>{"virtio-net-pci", "e1000e", "rtl8139", "virtio-net-pci", 2, 0, -1});
}

QEMU_TEST_CASE("two VMs are connected by a Unix socket") {
  for (const char* type : {"stream", "socket"}) {
    INFO(type);
    const test::TempDir dir;
    const std::string backend = fmt::format(R"({{"type": "{}", "path": "net,1.sock")", type);
    PausedVm server(on_network("server", backend + R"(, "server": true})", dir, qemu));
    CHECK((std::filesystem::status(dir / "net,1.sock").permissions() & std::filesystem::perms::all) ==
          (std::filesystem::perms::owner_read | std::filesystem::perms::owner_write));
    {
      PausedVm client(on_network("client", backend + "}", dir, qemu));
      server.wait_for("NETDEV_STREAM_CONNECTED");
      CHECK_THAT(network_of(server), ContainsSubstring("unix:" + (dir / "net,1.sock").string()));
      wait_for_network(client, "unix:" + (dir / "net,1.sock").string());
    }
    server.wait_for("NETDEV_STREAM_DISCONNECTED");
    PausedVm next(on_network("next", backend + "}", dir, qemu));
    server.wait_for("NETDEV_STREAM_CONNECTED");
  }
}

QEMU_TEST_CASE("two VMs are connected by TCP") {
  const int port = test::free_tcp_port();
  const test::TempDir dir;
  const std::string backend = fmt::format(R"({{"type": "stream", "host": "127.0.0.1", "port": {})", port);
  PausedVm server(on_network("server", backend + R"(, "server": true})", dir, qemu));
  PausedVm client(on_network("client", backend + "}", dir, qemu));
  const Json event = server.wait_for("NETDEV_STREAM_CONNECTED");
  CHECK(event.at("netdev-id") == Json("net0-netdev"));
  CHECK(event.at("addr").at("type") == Json("inet"));
  wait_for_network(client, "type=stream,tcp:127.0.0.1:");
}

QEMU_TEST_CASE("two VMs are connected by TCP with the traditional socket backend") {
  const int port = test::free_tcp_port();
  const test::TempDir dir;
  const std::string backend = fmt::format(R"({{"type": "socket", "host": "127.0.0.1", "port": {})", port);
  PausedVm server(on_network("server", backend + R"(, "server": true})", dir, qemu));
  PausedVm client(on_network("client", backend + "}", dir, qemu));
  wait_for_network(server, "socket: connection from 127.0.0.1");
  CHECK_THAT(network_of(client), ContainsSubstring("type=socket,socket: fd="));
}

QEMU_TEST_CASE("VMs meet in a multicast group") {
  const test::NetworkNamespace space;
  test::shell("ip route add 224.0.0.0/4 dev lo");
  const int port = test::free_tcp_port();
  const test::TempDir dir;
  const std::string backend = fmt::format(R"({{"type": "socket", "multicast": "230.0.0.1:{}"}})", port);
  PausedVm one(on_network("one", backend, dir, qemu));
  PausedVm other(on_network("other", backend, dir, qemu));
  CHECK_THAT(network_of(other), ContainsSubstring(fmt::format("socket: mcast=230.0.0.1:{}", port)));
}

QEMU_TEST_CASE("VMs connect to a VDE switch") {
  const test::TempDir dir;
  const test::VdeSwitch vde(dir / "switch");
  PausedVm one(on_network("one", R"({"type": "vde", "sock": "switch", "port": 3, "mode": "0700"})", dir, qemu));
  PausedVm other(on_network("other", R"({"type": "vde", "sock": "switch"})", dir, qemu));
  CHECK_THAT(network_of(one), ContainsSubstring("type=vde,sock=" + (dir / "switch").string()));
  CHECK_THAT(test::shell("ls " + (dir / "switch").string()), ContainsSubstring("003."));
}

QEMU_TEST_CASE("a missing VDE switch is reported before QEMU starts") {
  const test::TempDir dir;
  CHECK_THAT(refusal(on_network("one", R"({"type": "vde", "sock": "switch"})", dir, qemu)),
             ContainsSubstring("networks[0].backend.sock: " + (dir / "switch").string()));
}

QEMU_TEST_CASE("a VM does not start when the other end of its network is missing") {
  const test::TempDir dir;
  CHECK_THAT(refusal(on_network("client", R"({"type": "stream", "path": "nobody.sock"})", dir, qemu)),
             ContainsSubstring("networks[0].backend: connect to " + (dir / "nobody.sock").string() +
                               ": there is no such socket") &&
                 ContainsSubstring("Start the VM that listens there first"));
  for (const char* type : {"stream", "socket"})
    CHECK_THAT(
        refusal(on_network(
            "client", fmt::format(R"({{"type": "{}", "host": "localhost", "port": {}}})", type, test::free_tcp_port()),
            dir, qemu)),
        ContainsSubstring("networks[0].backend: connect to tcp:localhost:") &&
            ContainsSubstring("nobody listens there"));
}

QEMU_TEST_CASE("the socket of a running VM is not taken over, and one left by a dead VM is replaced") {
  const test::TempDir dir;
  const std::string backend = R"({"type": "stream", "path": "net.sock", "server": true})";
  const std::filesystem::path path = dir / "net.sock";
  {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.native().copy(address.sun_path, sizeof address.sun_path - 1);
    const FileDescriptor left(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::bind(left.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  }
  {
    PausedVm server(on_network("server", backend, dir, qemu));
    CHECK_THAT(refusal(on_network("thief", backend, dir, qemu)), ContainsSubstring("listens on " + path.string()));
    // Checking for a listener made us a client for a moment.
    server.wait_for("NETDEV_STREAM_DISCONNECTED");
    PausedVm client(on_network("client", R"({"type": "stream", "path": "net.sock"})", dir, qemu));
    server.wait_for("NETDEV_STREAM_CONNECTED");
  }
  CHECK_FALSE(std::filesystem::exists(path));
}

QEMU_TEST_CASE("a network client reconnects where QEMU can, and is rejected where it cannot") {
  const int port = test::free_tcp_port();
  const test::TempDir dir;
  const std::vector<std::string> ends{fmt::format(R"({{"type": "stream", "host": "127.0.0.1", "port": {})", port),
                                      R"({"type": "socket", "path": "net.sock")"};
  for (const std::string& end : ends) {
    INFO(end);
    const VmConfig config = on_network("client", end + R"(, "reconnect": 1})", dir, qemu);
    if (!can_reconnect(qemu)) {
      CHECK_THAT(refusal(config), ContainsSubstring("networks[0].backend.reconnect: this QEMU") &&
                                      ContainsSubstring("which came with QEMU 8.0"));
      continue;
    }
    PausedVm client(config);
    for (const char* name : {"first", "second"}) {
      PausedVm server(on_network(name, end + R"(, "server": true})", dir, qemu));
      client.wait_for("NETDEV_STREAM_CONNECTED");
      server.wait_for("NETDEV_STREAM_CONNECTED");
    }
  }
}
