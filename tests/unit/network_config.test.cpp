// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// What is refused of networks, and addresses; the golden files show what becomes of the rest.
#include "catch.hpp"
#include "refusal.hpp"

#include <fmt/format.h>

#include <set>
#include <string>
#include <vector>

using namespace qemuctl;
using Catch::Matchers::ContainsSubstring;
using test::refusal;

namespace {

/// What is said about a network with this backend, `more` being further members of the network.
std::string network(const std::string& backend, const std::string& more = "") {
  return refusal(fmt::format(R"({{"networks": [{{"backend": {{{}}}{}}}]}})", backend, more));
}

std::string user(const std::string& members) {
  return network(R"("type": "user", )" + members);
}

std::string tap(const std::string& members, const std::string& more = "") {
  return network(R"("type": "tap", )" + members, more);
}

std::vector<std::string> addresses(const std::string& vm_json) {
  std::vector<std::string> found;
  for (const std::string& device : test::values_of("-device", vm_json)) {
    const std::string key = R"("mac":")";
    found.push_back(device.substr(device.find(key) + key.size(), 17));
  }
  return found;
}

} // namespace

TEST_CASE("port forwards of a user network have QEMU's form, with addresses it accepts") {
  for (const char* forward : {"tcp::2222-:22", "udp:127.0.0.1:53-10.0.2.15:53", "::80-:80", "tcp:0.0.0.0:0-:1"})
    CHECK(user(fmt::format(R"("hostfwd": ["{}"])", forward)) == "not refused");
  for (const char* forward :
       {"tcp:localhost:2222-:22", "tcp::2222-guest:22", "tcp::2222-192.168.0.1:22", "tcp:::1:2222-:22", "tcp::2222-22"})
    CHECK_THAT(user(fmt::format(R"("hostfwd": ["tcp::1-:1", "{}"])", forward)),
               ContainsSubstring(fmt::format("networks[0].backend.hostfwd[1]: found \"{}\"", forward)) &&
                   ContainsSubstring("tcp::2222-:22") && ContainsSubstring("in 10.0.2.0/24"));
  CHECK(user(R"("net": "192.168.0.0/16", "hostfwd": ["tcp::2222-192.168.3.1:22"])") == "not refused");
}

TEST_CASE("addresses of a user network must lie within it") {
  CHECK(user(R"("net": "10.1.0.0/16", "host": "10.1.0.1", "dns": "10.1.9.9", "dhcpStart": "10.1.255.1")") ==
        "not refused");
  CHECK(user(R"("net": "10.0.0.0", "host": "10.200.0.1")") == "not refused"); // of class A
  CHECK(user(R"("net": "10.0.0.0/255.255.0.0", "dns": "10.0.200.1")") == "not refused");
  CHECK_THAT(user(R"("net": "10.0.0.0/255.255.0.0", "dns": "10.1.200.1")"),
             ContainsSubstring("networks[0].backend.dns: found \"10.1.200.1\", expected an IPv4 address in the guest's "
                               "network, 10.0.0.0/255.255.0.0"));
  CHECK_THAT(user(R"("host": "10.0.3.2")"), ContainsSubstring("networks[0].backend.host: "));
  CHECK_THAT(user(R"("dhcpStart": "fifteen")"), ContainsSubstring("networks[0].backend.dhcpStart: "));
  for (const char* net : {"10.0.2.0/33", "10.0.2/24", "fec0::/64", "10.0.2.0/", "net"})
    CHECK_THAT(user(fmt::format(R"("net": "{}")", net)), ContainsSubstring("networks[0].backend.net: found"));
}

TEST_CASE("the options of a TAP interface must be consistent") {
  CHECK(tap(R"("ifname": "tap0", "bridge": "br0", "queues": 4, "vhost": true)") == "not refused");
  for (const char* name : {"a/b", "a b", "a:1", "tap%d", "..", "sixteen-letters!"})
    CHECK_THAT(tap(fmt::format(R"("ifname": "{}")", name)),
               ContainsSubstring("networks[0].backend.ifname: ") && ContainsSubstring("1 to 15 characters"));
  CHECK_THAT(tap(R"("queues": 257)"), ContainsSubstring("networks[0].backend.queues: "));
  CHECK_THAT(tap(R"("bridge": "br0", "script": "up")"),
             ContainsSubstring("networks[0].backend.bridge: found \"br0\", expected either bridge, or script"));
  CHECK(tap(R"("bridge": "br0", "script": "no", "downScript": "no")") == "not refused");
  CHECK_THAT(tap(R"("fds": [5], "ifname": "tap0")"), ContainsSubstring("networks[0].backend.fds: has no effect"));
  CHECK_THAT(tap(R"("fds": [5, 6], "queues": 2)"), ContainsSubstring("networks[0].backend.fds: has no effect"));
  CHECK(tap(R"("fds": [5, 6], "vhost": true)") == "not refused");
  CHECK_THAT(tap(R"("vhost": true)", R"(, "model": "e1000")"),
             ContainsSubstring("networks[0].backend.vhost: has no effect for model \"e1000\"; \"virtio\" has it"));
  CHECK_THAT(tap(R"("queues": 2)", R"(, "model": "e1000")"),
             ContainsSubstring("networks[0].backend.queues: has no effect for model \"e1000\""));
  CHECK(tap(R"("queues": 2)", R"(, "model": "virtio-net-pci-non-transitional")") == "not refused");
}

TEST_CASE("a TAP interface or descriptor belongs to one network only") {
  CHECK_THAT(
      refusal(R"({"networks": [{"backend": {"type": "tap", "ifname": "tap0"}},
                                      {"backend": {"type": "tap", "ifname": "tap0"}}]})"),
      ContainsSubstring("networks[1].backend.ifname: found \"tap0\", which networks[0].backend.ifname has, too"));
  CHECK_THAT(refusal(R"({"networks": [{"backend": {"type": "tap", "fds": [7, 8, 7]}}]})"),
             ContainsSubstring("networks[0].backend.fds[2]: found descriptor 7"));
  CHECK(refusal(R"({"networks": [{"backend": {"type": "tap"}}, {"backend": {"type": "tap"}}]})") == "not refused");
}

TEST_CASE("a connection between VMs has one type and two ends") {
  CHECK_THAT(network(R"("type": "socket")"), ContainsSubstring("found neither path nor port nor multicast"));
  CHECK_THAT(network(R"("type": "socket", "path": "a", "port": 5000, "host": "h")"),
             ContainsSubstring("found several of path, port and multicast"));
  CHECK_THAT(network(R"("type": "stream")"), ContainsSubstring("found neither path nor port"));
  CHECK_THAT(network(R"("type": "stream", "path": "a", "port": 5000, "host": "h")"),
             ContainsSubstring("found path and port"));
  for (const char* type : {"socket", "stream"}) {
    CHECK_THAT(network(fmt::format(R"("type": "{}", "port": 5000)", type)),
               ContainsSubstring("networks[0].backend.host: found nothing, expected the host that a client"));
    CHECK(network(fmt::format(R"("type": "{}", "port": 5000, "server": true)", type)) == "not refused");
    CHECK_THAT(network(fmt::format(R"("type": "{}", "path": "a", "host": "h")", type)),
               ContainsSubstring("networks[0].backend.host: has no effect without port"));
    CHECK_THAT(network(fmt::format(R"("type": "{}", "path": "a", "server": true, "reconnect": 1)", type)),
               ContainsSubstring("networks[0].backend.reconnect: has no effect for a server"));
    CHECK_THAT(network(fmt::format(R"("type": "{}", "port": 0, "server": true)", type)),
               ContainsSubstring("networks[0].backend.port: "));
  }
  CHECK_THAT(network(R"("type": "socket", "host": "h", "port": 1, "reconnect": 5)"),
             ContainsSubstring("backends of type \"stream\" have it for TCP"));
  CHECK_THAT(refusal(R"({"networks": [{"backend": {"type": "stream", "path": "a", "server": true}},
                                      {"backend": {"type": "socket", "path": "a", "server": true}}]})"),
             ContainsSubstring("networks[1].backend.path: found \"/vm/a\", which networks[0].backend.path has, too"));
}

TEST_CASE("a multicast network needs a multicast group") {
  CHECK(network(R"("type": "socket", "multicast": "239.255.255.255:65535")") == "not refused");
  for (const char* group : {"230.0.0.1", "10.0.0.1:1234", "230.0.0.1:0", "230.0.0.1:", "group:1234"})
    CHECK_THAT(network(fmt::format(R"("type": "socket", "multicast": "{}")", group)),
               ContainsSubstring("networks[0].backend.multicast: found"));
  CHECK_THAT(network(R"("type": "socket", "multicast": "230.0.0.1:1234", "server": true)"),
             ContainsSubstring("networks[0].backend.server: has no effect for a multicast group"));
}

TEST_CASE("reconnecting is spelled the way the QEMU at hand spells it") {
  const std::string config =
      R"({"networks": [{"backend": {"type": "stream", "host": "h", "port": 1, "reconnect": 10}}]})";
  QemuInfo qemu = test::some_qemu();
  qemu.features = {"netdev/stream"};
  CHECK_THAT(refusal(config, qemu, errc::not_supported),
             ContainsSubstring("networks[0].backend.reconnect: this QEMU (/usr/bin/qemu-system-x86_64, version 7.2.22) "
                               "has no network clients that try again, which came with QEMU 8.0"));
  qemu.features = {"netdev/stream", "netdev/stream/reconnect"};
  CHECK_THAT(test::values_of("-netdev", config, qemu).at(0), ContainsSubstring(R"("reconnect":10,)"));
  qemu.features = {"netdev/stream", "netdev/stream/reconnect", "netdev/stream/reconnect-ms"};
  CHECK_THAT(test::values_of("-netdev", config, qemu).at(0), ContainsSubstring(R"("reconnect-ms":10000,)"));
}

TEST_CASE("a network backend that this QEMU does not have is rejected") {
  QemuInfo qemu = test::some_qemu();
  qemu.features = {"netdev/tap", "netdev/user"};
  const auto with = [&](const char* backend) {
    return refusal(fmt::format(R"({{"networks": [{{"backend": {{{}}}}}]}})", backend), qemu, errc::not_supported);
  };
  CHECK_THAT(with(R"("type": "vde")"),
             ContainsSubstring("networks[0].backend.type: ") && ContainsSubstring("has no network backend \"vde\""));
  CHECK_THAT(with(R"("type": "bridge")"), ContainsSubstring("has no network backend \"bridge\""));
  CHECK_THAT(with(R"("type": "socket", "path": "a", "server": true)"),
             ContainsSubstring("has no network backend \"stream\", which came with QEMU 7.2"));
  CHECK(refusal(R"({"networks": [{"backend": {"type": "tap"}}, {}]})", qemu) == "not refused");
  qemu.features = {"netdev/stream"};
  CHECK_THAT(with(R"("type": "user")"), ContainsSubstring("has no network backend \"user\""));
}

TEST_CASE("the mode of a VDE socket is octal") {
  CHECK(network(R"("type": "vde", "mode": "0770")") == "not refused");
  for (const char* mode : {"0780", "rwx", "00770", "-1"})
    CHECK_THAT(network(fmt::format(R"("type": "vde", "mode": "{}")", mode)),
               ContainsSubstring("networks[0].backend.mode: found"));
}

TEST_CASE("devices without a MAC address get a unique one that stays the same") {
  const std::string four = R"({"name": "a", "networks": [{}, {}, {"macAddr": "52:54:00:00:00:01"}, {"id": "x"}]})";
  const std::vector<std::string> first = addresses(four);
  CHECK(first == addresses(four));
  CHECK(std::set<std::string>(first.begin(), first.end()).size() == 4);
  CHECK(first[2] == "52:54:00:00:00:01");
  for (const std::string& address : first) CHECK(address.starts_with("52:54:00:"));
  std::set<std::string> of_all(first.begin(), first.end());
  for (const char* name : {"b", "aa", "ab", "vm-1", "vm-2"})
    for (const std::string& address : addresses(fmt::format(R"({{"name": "{}", "networks": [{{}}, {{}}]}})", name)))
      CHECK(of_all.insert(address).second);
  // An address already in use is not generated again.
  const std::string taken = first[1];
  CHECK(addresses(fmt::format(R"({{"name": "a", "networks": [{{"macAddr": "{}"}}, {{}}]}})", taken))[1] != taken);
}

TEST_CASE("a vsock device needs a valid guest CID") {
  CHECK(refusal(R"({"vsock": {"guestCid": 3}})") == "not refused");
  for (const char* cid : {"2", "4294967295", "-1"})
    CHECK_THAT(refusal(fmt::format(R"({{"vsock": {{"guestCid": {}}}}})", cid)), ContainsSubstring("vsock.guestCid: "));
}
