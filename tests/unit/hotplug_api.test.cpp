// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "api_access.hpp"
#include "api_message.hpp"
#include "api_request.hpp"
#include "catch.hpp"
#include "guest_cid.hpp"
#include "line_buffer.hpp"
#include "temp_dir.hpp"

#include <hotplug/client.hpp>
#include <qemuctl/error.hpp>

#include <sys/stat.h>

#include <chrono>
#include <fstream>
#include <string>
#include <vector>

using namespace hotplug;
using namespace hotplug::detail;
using Catch::Matchers::ContainsSubstring;
using qemuctl::Json;

namespace {

UsbDevice usb(const std::string& connector) {
  UsbDevice device;
  device.sys_path = "/sys/" + connector;
  device.device_node = "/dev/bus/usb/003/078";
  device.bus = 3;
  device.address = 78;
  device.ports = {1, 4};
  device.vendor_id = 0x046d;
  device.product_id = 0xc52b;
  device.serial = "s";
  return device;
}

Peer on_unix(std::uint32_t uid, std::vector<std::uint32_t> gids = {}) {
  Peer peer;
  peer.transport = "unix";
  peer.uid = uid;
  peer.gids = std::move(gids);
  return peer;
}

Peer on_vsock(std::uint32_t cid, const std::string& own_vm = {}) {
  Peer peer;
  peer.transport = "vsock";
  peer.cid = cid;
  peer.own_vm = own_vm;
  return peer;
}

Peer on_tcp(const std::string& token = {}) {
  Peer peer;
  peer.transport = "tcp";
  peer.address = "127.0.0.1";
  peer.token = token;
  return peer;
}

/// "admin", or "a:read b:attach" when it depends on the VM.
std::string rights(const Peer& peer, const std::vector<ApiPermission>& permissions) {
  ApiConfig config;
  config.permissions = permissions;
  const Rights found = rights_of(peer, config);
  std::string text(to_string(found.everywhere));
  for (const auto& [vm, level] : found.in_vm) text += " " + vm + ":" + std::string(to_string(level));
  return text;
}

using Lines = std::vector<std::string>;

/// What comes out when the bytes come in pieces of that size.
Lines lines_of(const std::string& bytes, std::size_t piece, std::size_t longest = 5) {
  LineBuffer buffer(longest);
  Lines lines;
  for (std::size_t i = 0; i < bytes.size(); i += piece) {
    buffer.append(std::string_view(bytes).substr(i, piece));
    while (const auto line = buffer.next()) lines.push_back(line->too_long ? "(too long)" : std::string(line->text));
  }
  return lines;
}

} // namespace

TEST_CASE("without permissions, Unix sockets and tokens may do everything, others what vhotplug lets them do") {
  const ApiConfig config;
  CHECK(rights_of(on_unix(1000), config).everywhere == ApiLevel::admin);
  CHECK(rights_of(on_tcp("ops"), config).everywhere == ApiLevel::admin);
  CHECK(rights_of(on_tcp(), config).everywhere == ApiLevel::attach);
  CHECK(rights_of(on_vsock(3, "a"), config).everywhere == ApiLevel::attach);
}

TEST_CASE("a permission applies to clients that match all its conditions") {
  ApiPermission permission;
  permission.may = ApiLevel::attach;
  const std::vector<Peer> peers{on_unix(1000, {7, 8}), on_unix(0),       on_tcp(),
                                on_tcp("ops"),         on_vsock(3, "a"), on_vsock(4)};
  const auto who = [&](const ApiPermission& one) {
    std::string text;
    for (const Peer& peer : peers) text += rights(peer, {one}) == "none" ? '-' : 'x';
    return text;
  };
  CHECK(who(permission) == "xxxxxx");
  ApiPermission one = permission;
  one.transport = "unix";
  CHECK(who(one) == "xx----");
  one.transport = "tcp";
  CHECK(who(one) == "--xx--");
  one.transport = "vsock";
  CHECK(who(one) == "----xx");
  one = permission;
  one.uid = 1000;
  CHECK(who(one) == "x-----");
  one = permission;
  one.gid = 8;
  CHECK(who(one) == "x-----");
  one.uid = 0;
  CHECK(who(one) == "------"); // both, and nobody is both
  one = permission;
  one.token = "ops";
  CHECK(who(one) == "---x--");
  one = permission;
  one.cid = 3;
  CHECK(who(one) == "----x-");
  one = permission;
  one.own_vm = true;
  CHECK(who(one) == "----x-"); // whose VM is not known has none
}

TEST_CASE("permissions add up, each for its VMs") {
  ApiPermission all_read, uid_attaches_a, own;
  uid_attaches_a.uid = 1000;
  uid_attaches_a.may = ApiLevel::attach;
  uid_attaches_a.vms = {{"a", "b"}};
  own.transport = "vsock";
  own.own_vm = true;
  own.may = ApiLevel::admin;
  const std::vector<ApiPermission> permissions{all_read, uid_attaches_a, own};
  CHECK(rights(on_unix(0), permissions) == "read");
  CHECK(rights(on_unix(1000), permissions) == "read a:attach b:attach");
  CHECK(rights(on_vsock(3, "a"), permissions) == "read a:admin");
  CHECK(rights(on_vsock(3, "a"), {own}) == "none a:admin");
  CHECK(rights(on_vsock(3), {own}) == "none");
  CHECK(rights(on_unix(0), {}) == "none");

  ApiConfig config;
  config.permissions = permissions;
  const Rights found = rights_of(on_unix(1000), config);
  CHECK(found.in("a") == ApiLevel::attach);
  CHECK(found.in("c") == ApiLevel::read);
  CHECK(found.anywhere() == ApiLevel::attach);
}

TEST_CASE("a client that may see some VMs is shown a device without the names of the others") {
  DeviceState device;
  device.device = usb("3-1.4");
  device.allowed_vms = {"a", "b"};
  device.vm = device.target = "b";
  device.foreign = true;
  Rights of_a;
  of_a.in_vm["a"] = ApiLevel::attach;
  REQUIRE(may_see(of_a, device));
  const DeviceState elsewhere = as_seen_by(of_a, device);
  CHECK(elsewhere.allowed_vms == std::vector<std::string>{"a"});
  CHECK_FALSE(elsewhere.vm);
  CHECK_FALSE(elsewhere.target);
  CHECK_FALSE(elsewhere.foreign);
  CHECK(elsewhere.degraded == "it is in a VM that you may not see");

  device.vm.reset();
  device.degraded = "process 7 (qemu-b) has the monitor of VM b";
  const DeviceState wanted = as_seen_by(of_a, device);
  CHECK_FALSE(wanted.target);
  CHECK(wanted.degraded == "it is meant for a VM that you may not see");

  device.target = "a";
  device.degraded = "no free port";
  DeviceState own = device;
  own.allowed_vms = {"a"};
  CHECK(as_seen_by(of_a, device) == own);

  device.target.reset();
  device.suspended = true;
  device.returns_to = device.chosen = "b";
  const DeviceState suspended = as_seen_by(of_a, device);
  CHECK_FALSE(suspended.returns_to);
  CHECK_FALSE(suspended.chosen);
  CHECK(suspended.degraded == "it is meant for a VM that you may not see");

  Rights of_all;
  of_all.everywhere = ApiLevel::read;
  device.target = "b";
  CHECK(as_seen_by(of_all, device) == device);
}

TEST_CASE("a client that may see some VMs learns about others only that a device is not available") {
  using Kind = Notification::Kind;
  Notification event;
  event.device.device = usb("3-1.4");
  event.device.allowed_vms = {"a", "b"};
  Rights of_a;
  of_a.in_vm["a"] = ApiLevel::attach;
  const auto heard = [&](Kind kind, const std::string& vm, const std::string& in = {}, const std::string& text = {}) {
    event.kind = kind;
    event.vm = vm;
    event.device.vm = in.empty() ? std::nullopt : std::optional(in);
    event.device.degraded = event.text = text;
    const auto seen = as_seen_by(of_a, event);
    return seen ? to_json(*seen, Rules()).dump() : std::string();
  };
  CHECK_THAT(heard(Kind::connected, ""), ContainsSubstring("usb_connected") && !ContainsSubstring("\"b\""));
  CHECK_THAT(heard(Kind::attached, "a", "a"), ContainsSubstring("usb_attached") && ContainsSubstring(R"("vm":"a")"));
  CHECK_THAT(heard(Kind::attached, "b", "b"),
             ContainsSubstring("device_degraded") && !ContainsSubstring("\"b\"") &&
                 ContainsSubstring(R"("reason":"it is in a VM that you may not see")"));
  CHECK(heard(Kind::detached, "b").empty());
  CHECK_THAT(heard(Kind::select_vm, ""), ContainsSubstring(R"("allowed_vms":["a"]})"));
  CHECK_THAT(heard(Kind::degraded, "", "b", "VM b has it"), !ContainsSubstring("VM b"));
  CHECK_THAT(heard(Kind::degraded, "", "a", "no free port"), ContainsSubstring(R"("reason":"no free port")"));
  CHECK(heard(Kind::vm_state, "b").empty());
  CHECK_FALSE(heard(Kind::vm_state, "a").empty());
  event.device.allowed_vms = {"b"};
  CHECK(heard(Kind::connected, "").empty());
  CHECK_THAT(heard(Kind::detached, "a"), ContainsSubstring("usb_detached")); // the rules have changed meanwhile
}

TEST_CASE("every guest may connect unless guests are listed, but processes of the host only if they are") {
  ApiConfig config;
  for (const std::uint32_t cid : {0U, 1U, 2U}) CHECK_FALSE(may_connect(cid, config));
  for (const std::uint32_t cid : {3U, 77U, 0xffffffffU}) CHECK(may_connect(cid, config));
  config.allowed_cids = {1, 4};
  CHECK(may_connect(1, config));
  CHECK(may_connect(4, config));
  CHECK_FALSE(may_connect(3, config));
}

TEST_CASE("the description of a client lets a person recognise it") {
  Peer peer = on_unix(1000);
  peer.pid = 77;
  CHECK(description(peer) == "user 1000 (process 77) on unix");
  CHECK(description(on_vsock(3, "a")) == "CID 3 (VM a) on vsock");
  CHECK(description(on_tcp("ops")) == "127.0.0.1 on tcp with token ops");
}

TEST_CASE("tokens are read from a file that others cannot read, and a wrong file is refused without showing them") {
  const std::vector<Token> tokens = parse_tokens("# people\n ops  0123456789abcdef\r\n\nlab\tfedcba9876543210", "f");
  CHECK(tokens == std::vector<Token>{{"ops", "0123456789abcdef"}, {"lab", "fedcba9876543210"}});
  CHECK(find_token(tokens, "fedcba9876543210")->name == "lab");
  for (const char* wrong : {"", "fedcba987654321", "fedcba98765432100", "fedcba9876543211", "gedcba9876543210",
                            "0123456789abcdef0123456789abcdef"})
    CHECK(find_token(tokens, wrong) == nullptr);
  CHECK(find_token({}, "fedcba9876543210") == nullptr);
  CHECK_THROWS_WITH(parse_tokens("ops\n", "f"), ContainsSubstring("line 1 is not of the form NAME TOKEN"));
  CHECK_THROWS_WITH(parse_tokens("\nops secret", "f"),
                    ContainsSubstring("line 2 has a token of less than 16") && !ContainsSubstring("secret"));
  CHECK_THROWS_WITH(parse_tokens("# none", "f"), ContainsSubstring("no token"));

  const test::TempDir dir;
  std::ofstream(dir / "tokens") << "ops 0123456789abcdef\n";
  ::chmod((dir / "tokens").c_str(), 0644);
  CHECK_THROWS_WITH(load_tokens(dir / "tokens"), ContainsSubstring("everybody"));
  ::chmod((dir / "tokens").c_str(), 0640);
  CHECK(load_tokens(dir / "tokens").size() == 1);
}

TEST_CASE("lines come out whole, whatever the pieces they came in, and a line that is too long is one error") {
  for (const std::size_t piece : {1, 2, 3, 5, 100}) {
    CHECK(lines_of("ab\n\ncdefg\nhalf", piece) == Lines{"ab", "", "cdefg"});
    CHECK(lines_of("a\ncdefgh\nb\n123456789012\nc\n", piece) == Lines{"a", "(too long)", "b", "(too long)", "c"});
    CHECK(lines_of(std::string("a\0b\n", 4), piece) == Lines{std::string("a\0b", 3)});
  }
}

TEST_CASE("the CID of a guest is read from QEMU's command line") {
  using Arguments = std::vector<std::string>;
  CHECK(guest_cid(Arguments{"qemu", "-device", "vhost-vsock-pci,id=v,guest-cid=3"}) == 3);
  CHECK(guest_cid(Arguments{"qemu", "--device", "guest-cid=42,driver=vhost-vsock-device"}) == 42);
  CHECK(guest_cid(Arguments{"qemu", "-device", R"({"driver":"vhost-vsock-pci","guest-cid":5})"}) == 5);
  CHECK(guest_cid(Arguments{"qemu", "-device", R"({"driver":"vhost-vsock-pci","guest-cid":"6"})"}) == 6);
  CHECK(guest_cid(Arguments{"qemu", "-device", "virtio-net,guest-cid=3"}) == std::nullopt);
  CHECK(guest_cid(Arguments{"qemu", "-device", "vhost-vsock-pci,guest-cid=x"}) == std::nullopt);
  CHECK(guest_cid(Arguments{"qemu", "-device", "{broken"}) == std::nullopt);
  CHECK(guest_cid(Arguments{"qemu", "-device"}) == std::nullopt);
  CHECK(guest_cid({}) == std::nullopt);
}

TEST_CASE("bytes are written as base64") {
  CHECK(base64("").empty());
  CHECK(base64("f") == "Zg==");
  CHECK(base64("fo") == "Zm8=");
  CHECK(base64("foo") == "Zm9v");
  CHECK(base64("foobar") == "Zm9vYmFy");
  CHECK(base64("\xff\xfe") == "//4=");
}

TEST_CASE("addresses of the device API are read and written") {
  CHECK(parse_api_tcp("127.0.0.1:2001") == ApiTcpAddress("127.0.0.1", 2001));
  CHECK(parse_api_tcp("host") == ApiTcpAddress("host", 2000));
  CHECK(parse_api_tcp("[::1]:7") == ApiTcpAddress("::1", 7));
  CHECK(parse_api_tcp("::1") == ApiTcpAddress("::1", 2000));
  CHECK(parse_api_vsock("2") == ApiVsockAddress(2, 2000));
  CHECK(parse_api_vsock("3:4") == ApiVsockAddress(3, 4));
  CHECK(to_string(ApiAddress(ApiTcpAddress("::1", 7))) == "[::1]:7");
  CHECK(to_string(ApiAddress(ApiVsockAddress(3, 4))) == "CID 3, port 4");
  for (const char* wrong : {"", ":1", "a:", "a:x", "a:0", "a:65536", "[::1", "[::1]x"})
    CHECK_THROWS_AS(parse_api_tcp(wrong), qemuctl::Error);
  for (const char* wrong : {"", "x", "2:", "2:x", "4294967296"})
    CHECK_THROWS_AS(parse_api_vsock(wrong), qemuctl::Error);
}

TEST_CASE("requests of the device API identify a device in each of the documented ways") {
  const auto selector = [](const char* json) { return parse_request(qemuctl::parse_json(json)).device; };
  DeviceSelector by_port;
  by_port.bus = 1;
  by_port.port = 2;
  CHECK(selector(R"({"action": "usb_attach", "bus": "1", "port": "2", "vm": "vm1"})") == by_port);
  CHECK(selector(R"({"action": "usb_detach", "bus": 1, "port": 2})") == by_port);
  DeviceSelector by_ids;
  by_ids.vendor_id = 0x1111;
  by_ids.product_id = 0xabcd;
  CHECK(selector(R"({"action": "usb_detach", "vid": "1111", "pid": "0xABCD"})") == by_ids);
  DeviceSelector by_node;
  by_node.device_node = "/dev/bus/usb/003/078";
  CHECK(selector(R"({"action": "usb_detach", "device_node": "/dev/bus/usb/003/078"})") == by_node);
}

TEST_CASE("an unambiguous identifier takes precedence over a tag, and a tag over ids") {
  const auto request = [](const std::string& name) {
    return parse_request(qemuctl::parse_json(R"({"action": "usb_attach", "tag": "t", )" + name + "}"));
  };
  for (const char* name :
       {R"("device_node": "/dev/bus/usb/003/078")", R"("bus": 3, "port": 1)", R"("port_path": "3-1")"})
    CHECK(request(name).tag.empty());
  for (const char* name : {R"("vid": "046d", "pid": "c52b")", R"("bus": 3)", R"("vm": "a")"})
    CHECK(request(name).tag == "t");
  CHECK(
      parse_request(qemuctl::parse_json(R"({"action": "pci_detach", "tag": "t", "address": "01:00.0"})")).tag.empty());
}

TEST_CASE("a request is logged in one short line without secrets") {
  const auto text = [](const std::string& json) { return request_text(qemuctl::parse_json(json)); };
  CHECK(text(R"({"action":"usb_attach","id":7,"token":"secret","vm":"a","bus":3})") == R"({"vm":"a","bus":3})");
  CHECK(text("{}") == "{}");
  CHECK(text(R"({"vm":"a\nb\u2028c"})").find('\n') == std::string::npos);
  CHECK(text(R"({"vm":")" + std::string(1'000'000, 'x') + R"("})").size() < 310);
  std::string many = R"({"action":"usb_attach")";
  for (int i = 0; i < 100'000; ++i) many += ",\"" + std::to_string(i) + "\":0";
  const auto begin = std::chrono::steady_clock::now();
  CHECK(text(many + "}").size() < 310);
  CHECK_THROWS_WITH(parse_request(qemuctl::parse_json(many + "}")), ContainsSubstring("at most 64 members"));
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(5));
}

TEST_CASE("an invalid request of the device API is refused with the name of the field") {
  const auto error = [](const char* json) {
    try {
      parse_request(qemuctl::parse_json(json));
    } catch (const qemuctl::Error& failure) {
      return failure.diagnostics().detail;
    }
    return std::string();
  };
  CHECK(error("[]") == "a request is a JSON object");
  CHECK(error("{}") == "field action is missing");
  CHECK(error(R"({"action": 7})") == "field action: found 7, expected a text");
  CHECK(error(R"({"action": "usb_atach"})") == R"(unknown action "usb_atach"; did you mean usb_attach?)");
  CHECK(error(R"({"action": "usb_attach", "vm": "a"})") ==
        "no device is given; give one of these: device_node; bus and port; port_path; vid and pid");
  CHECK(error(R"({"action": "pci_attach", "vm": "a", "vid": "8086"})") ==
        "no device is given; give one of these: address; vid and did");
  CHECK(error(R"({"action": "evdev_detach"})") == "no device is given; give one of these: device_node; name");
  CHECK(error(R"({"action": "usb_attach", "bus": "x", "port": 1})") ==
        R"(field bus: found "x", expected a number of 0 to 255)");
  CHECK(error(R"({"action": "usb_attach", "vid": 1111, "pid": "1"})") ==
        "field vid: found 1111, expected hexadecimal digits, as a text, of 0 to ffff");
  CHECK(error(R"({"action": "usb_attach", "bus": 18446744073709551615, "port": 1})") ==
        R"(field bus: found 18446744073709551615, expected a number of 0 to 255)");
  CHECK(error(R"({"action": "vm_pause"})") == "field vm is missing");
  CHECK(error(R"({"action": "auth", "token": ""})") == "field token is missing");
  CHECK(error(R"({"action": "auth", "token": ["0123456789abcdef"]})") == "field token: expected a text");
  CHECK(error(R"({"action": "vm_send_key", "vm": "a"})") == "field keys is missing");
  CHECK(error(R"({"action": "vm_send_key", "vm": "a", "keys": []})") ==
        "field keys: found [], expected a list of 1 to 16 names of keys");
  CHECK(error(R"({"action": "vm_stop", "vm": "a", "timeout": 601})") ==
        "field timeout: found 601, expected a number of 0 to 600");
  CHECK(error(R"({"action": "usb_attach", "tag": 1})") == "field tag: found 1, expected a text");
  CHECK(error(R"({"action": "usb_list", "disconnected": "yes"})") ==
        R"(field disconnected: found "yes", expected true or false)");
}

TEST_CASE("a request that several devices match is refused with the candidates") {
  std::vector<DeviceState> devices(2);
  UsbDevice other = usb("y");
  other.device_node = "/dev/bus/usb/003/079";
  devices[0].device = usb("x");
  devices[1].device = other;
  DeviceSelector selector;
  selector.vendor_id = 0x046d;
  selector.product_id = 0xc52b;
  CHECK_THROWS_WITH(find_device(devices, selector),
                    ContainsSubstring("/dev/bus/usb/003/078") && ContainsSubstring("/dev/bus/usb/003/079"));
  selector.device_node = "/dev/bus/usb/003/079";
  CHECK(&find_device(devices, selector) == &devices[1]);
  selector.product_id = 1;
  CHECK_THROWS_WITH(find_device(devices, selector), ContainsSubstring("there is no such device"));
}

TEST_CASE("a device has vhotplug's field names in the device API") {
  UsbDevice device = usb("x");
  device.vendor_name = "Vendor";
  device.product_name = "<b>\n\xFF";
  device.sys_name = "3-1.4";
  device.interfaces = {{3, 1, 2}, {8, 6, 80}};
  DeviceState state;
  state.device = device;
  state.allowed_vms = {"vm1", "vm2"};
  state.vm = "vm1";
  CHECK(
      to_json(state, Rules()).dump() ==
      R"({"device_node":"/dev/bus/usb/003/078","vid":"046d","pid":"c52b","vendor_name":"Vendor",)"
      R"("product_name":"<b>\n\ufffd","interfaces":":030102:080650:","device_class":0,"device_subclass":0,"device_protocol":0,"busnum":3,)"
      R"("devnum":78,"portnum":1,"serial":"s","sys_name":"3-1.4","allowed_vms":["vm1","vm2"],"vm":"vm1",)"
      R"("port_path":"3-1.4"})");
}

TEST_CASE("PCI and input devices have vhotplug's field names in the device API") {
  PciDevice card;
  card.sys_name = "0000:01:00.0";
  card.vendor_id = 0x8086, card.device_id = 0x10d3;
  card.subsystem_vendor_id = 0x8086, card.subsystem_id = 1;
  card.device_class = {2, 0, 0};
  card.driver = "e1000e";
  card.device_name = "82574L";
  card.iommu_group = 7;
  DeviceState state;
  state.device = card;
  state.iommu_member = true;
  state.suspended = true;
  CHECK(to_json(state, Rules()).dump() ==
        R"({"address":"0000:01:00.0","driver":"e1000e","vendor_id":32902,"device_id":4307,"vid":"8086","did":"10d3",)"
        R"("vendor_name":"","device_name":"82574L","pci_class":2,"pci_subclass":0,"pci_prog_if":0,)"
        R"("pci_subsystem_vendor_id":32902,"pci_subsystem_id":1,"allowed_vms":[],"iommu_member":true,"iommu_group":7,)"
        R"("suspended":true})");
  InputDevice keyboard;
  keyboard.device_node = "/dev/input/event2";
  keyboard.sys_name = "event2";
  keyboard.name = "AT keyboard";
  keyboard.path_tag = "platform-i8042-serio-0";
  DeviceState input;
  input.device = keyboard;
  CHECK(to_json(input, Rules()).dump() ==
        R"({"device_node":"/dev/input/event2","name":"AT keyboard","path_tag":"platform-i8042-serio-0",)"
        R"("sys_name":"event2","allowed_vms":[]})");

  std::vector<DeviceState> devices;
  devices.push_back(state);
  devices.push_back(input);
  DeviceState stick;
  stick.device = usb("x");
  devices.push_back(stick);
  const auto found = [&](const char* request) {
    return sys_name_of(find_device(devices, parse_request(qemuctl::parse_json(request)).device).device);
  };
  CHECK(found(R"({"action": "pci_attach", "address": "0000:01:00.0"})") == "0000:01:00.0");
  CHECK(found(R"({"action": "pci_attach", "address": "01:00.0"})") == "0000:01:00.0");
  CHECK(found(R"({"action": "pci_detach", "vid": "8086", "did": "10d3"})") == "0000:01:00.0");
  CHECK(found(R"({"action": "evdev_attach", "name": "AT keyboard"})") == "event2");
  CHECK(found(R"({"action": "explain", "device_node": "/dev/input/event2"})") == "event2");
  CHECK(found(R"({"action": "explain", "vid": "8086", "did": "10d3"})") == "0000:01:00.0");
  CHECK_THROWS_WITH(found(R"({"action": "pci_detach", "vid": "046d", "did": "c52b"})"), ContainsSubstring("no such"));
}
