// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "golden.hpp"
#include "temp_dir.hpp"

#include <hotplug/config.hpp>
#include <qemuctl/error.hpp>

#include <sstream>
#include <string>
#include <vector>

using namespace hotplug;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;

namespace {

using Lines = std::vector<std::string>;

/// The lines of what is wrong with a configuration.
Lines problems(const std::string& json) {
  Lines lines;
  try {
    parse_config(json, "file");
  } catch (const qemuctl::Error& error) {
    CHECK(error.code() == qemuctl::errc::invalid_argument);
    std::istringstream detail(error.diagnostics().detail);
    for (std::string line; std::getline(detail, line);) {
      line.erase(0, line.find_first_not_of(' '));
      if (!line.ends_with(" problems:")) lines.push_back(line);
    }
  }
  return lines;
}

} // namespace

TEST_CASE("the later format is read with all conditions of USB rules") {
  const ParsedConfig parsed = parse_config(R"({
    "vms": [{"name": "a", "type": "qemu", "socket": "/run/a.sock", "monitor": "hold"}, {"name": "b", "pid": 77},
            {"name": "c", "config": "c.json", "autoStart": true}],
    "usbPassthrough": [
      {"description": "HID", "targetVm": "a", "tag": "t", "skipOnSuspend": true, "guestReset": false,
       "guestResetsAll": true, "enable": true,
       "allow": [{"interfaceClass": 3, "interfaceSubclass": 0, "interfaceProtocol": 2, "description": "mouse"},
                 {"vendorId": "046d", "productId": "C52B", "vendorName": "logi.*", "productName": "x", "bus": 3, "port": 1,
                  "portPath": "3-1", "controller": "0000:00:14.0", "serial": "s", "speed": 480,
                  "removable": ["fixed", "unknown"], "deviceClass": 0, "deviceSubclass": 1, "deviceProtocol": 255,
                  "driverPath": ".*/net/",
                  "interfaces": {"anyOf": [{"class": 8}], "allOf": [{"subclass": 1}], "noneOf": [{"protocol": 0}],
                                 "equals": [{}]}, "disable": true}],
       "deny": [{"vendorId": "0x1234"}]},
      {"allowedVms": ["a", "b"], "disable": true, "allow": [{"vendorId": "1"}]}],
    "general": {"persistency": false, "statePath": "state",
                "api": {"enable": true, "transports": ["tcp", "unix"], "host": "127.0.0.1", "port": 2001, "unixSocket": "s",
                        "unixSocketUser": "u", "unixSocketGroup": "g", "unixSocketMode": "0600", "allowedCids": [3],
                        "tokenFile": "tokens", "maxConnectionsPerPeer": 7,
                        "permissions": [{"who": {}, "may": "read"},
                                        {"who": {"transport": "unix", "uid": 1, "gid": 2}, "may": "admin"},
                                        {"who": {"token": "t"}, "may": "attach", "vms": ["a"]},
                                        {"who": {"cid": 3}, "may": "attach", "ownVm": true}]},
                "selectTimeout": 20}
  })",
                                           "file", "/etc/hotplug");
  Config expected;
  expected.vms = {{"a", "/run/a.sock", {}, "", false, "hold"},
                  {"b", "", 77, "", false, ""},
                  {"c", "", {}, "/etc/hotplug/c.json", true, ""}};
  UsbRule& hid = expected.usb_rules.emplace_back();
  hid.description = "HID";
  hid.vms = {"a"};
  hid.tag = "t";
  hid.skip_on_suspend = true;
  hid.guest_reset = false;
  hid.guest_resets_all = true;
  UsbMatch& first = hid.allow.emplace_back();
  first.interface = {3, 0, 2};
  first.description = "mouse";
  UsbMatch& all = hid.allow.emplace_back();
  all.vendor_id = 0x046d, all.product_id = 0xc52b, all.vendor_name = "logi.*", all.product_name = "x";
  all.bus = 3, all.port = 1, all.port_path = "3-1", all.controller = "0000:00:14.0", all.serial = "s", all.speed = 480;
  all.removable = {"fixed", "unknown"};
  all.device_class = 0, all.device_subclass = 1, all.device_protocol = 255, all.driver_path = ".*/net/";
  all.interfaces = {{{8, {}, {}}}, {{{}, 1, {}}}, {{{}, {}, 0}}, {{}}};
  all.enabled = false;
  hid.deny.emplace_back().vendor_id = 0x1234;
  UsbRule& choice = expected.usb_rules.emplace_back();
  choice.vms = {"a", "b"};
  choice.enabled = false;
  choice.allow.emplace_back().vendor_id = 1;
  expected.general.persistency = false;
  expected.general.state_path = "/etc/hotplug/state";
  ApiConfig& api = expected.general.api;
  api.enable = true, api.transports = {"tcp", "unix"}, api.port = 2001, api.unix_socket = "/etc/hotplug/s";
  api.unix_socket_user = "u", api.unix_socket_group = "g", api.unix_socket_mode = 0600;
  api.allowed_cids = {{3}};
  api.token_file = "/etc/hotplug/tokens", api.max_connections_per_peer = 7;
  std::vector<ApiPermission> permissions(4);
  permissions[1].transport = "unix", permissions[1].uid = 1, permissions[1].gid = 2;
  permissions[1].may = ApiLevel::admin;
  permissions[2].token = "t", permissions[2].may = ApiLevel::attach, permissions[2].vms = Lines(1, "a");
  permissions[3].cid = 3, permissions[3].may = ApiLevel::attach, permissions[3].own_vm = true;
  api.permissions = permissions;
  expected.general.select_timeout = 20;
  CHECK(parsed.config == expected);
  CHECK(parsed.warnings.empty());
}

TEST_CASE("the first format is read, with the first VM in the file before the others") {
  const ParsedConfig parsed = parse_config(R"({
    "vms": [
      {"name": "vm1", "qmpSocket": "/tmp/qmp-socket1",
       "usbPassthrough": [
         {"class": 3, "protocol": 2, "description": "HID Mouse",
          "ignore": [{"vendorId": "046d", "productId": "c52b", "description": "Receiver"}]},
         {"productName": ".*ethernet.*", "description": "Ethernet devices"},
         {"vendorId": "067b", "productId": "23a3", "disable": true}],
       "evdevPassthrough": {"enable": false, "pcieBusPrefix": "ep"}},
      {"name": "vm2", "qmpSocket": "/tmp/qmp-socket2", "usbPassthrough": [{"class": 3}]}],
    "general": {"persistency": false}
  })");
  const Config& config = parsed.config;
  REQUIRE(config.usb_rules.size() == 4);
  CHECK(config.usb_rules[0].vms == Lines{"vm1"});
  CHECK(config.usb_rules[0].allow.at(0).interface == InterfaceMatch{3, {}, 2});
  CHECK(config.usb_rules[0].deny.at(0).product_id == 0xc52b);
  CHECK(config.usb_rules[1].allow.at(0).product_name == ".*ethernet.*");
  CHECK_FALSE(config.usb_rules[2].enabled);
  CHECK(config.usb_rules[3].vms == Lines{"vm2"});
  CHECK(config.vms.at(1).socket == "/tmp/qmp-socket2");
  CHECK_FALSE(config.general.persistency);
  CHECK(config.input_rules.empty());
  CHECK(parsed.warnings.empty());
}

TEST_CASE("rules for input devices are read in both formats") {
  const ParsedConfig later = parse_config(R"({
    "vms": [{"name": "a", "socket": "/a"}],
    "evdevPassthrough": [
      {"targetVm": "a", "description": "d", "pcieBusPrefix": "ep", "skipOnSuspend": true, "tag": "t",
       "allow": [{"name": "AT .*", "pathTag": "platform-"}, {"property": "ID_INPUT_TOUCHPAD", "value": "1"}],
       "deny": [{"name": "Power Button"}]}]})");
  REQUIRE(later.config.input_rules.size() == 1);
  InputRule expected;
  expected.vms = {"a"}, expected.description = "d", expected.port_prefix = "ep";
  expected.skip_on_suspend = true, expected.tag = "t";
  expected.allow.resize(2);
  expected.allow[0].name = "AT .*", expected.allow[0].path_tag = "platform-";
  expected.allow[1].property = "ID_INPUT_TOUCHPAD", expected.allow[1].value = "1";
  expected.deny.emplace_back().name = "Power Button";
  CHECK(later.config.input_rules[0] == expected);

  const ParsedConfig first = parse_config(R"({
    "vms": [{"name": "a", "qmpSocket": "/a", "evdevPassthrough": {"enable": true, "pcieBusPrefix": "ep"}}]})");
  REQUIRE(first.config.input_rules.size() == 1);
  CHECK(first.config.input_rules[0].vms == Lines{"a"});
  CHECK(first.config.input_rules[0].port_prefix == "ep");
  CHECK(first.config.input_rules[0].allow == all_input_matches());

  const auto rule = [](const std::string& text) {
    return problems(R"({"vms": [{"name": "a", "socket": "/a"}], "evdevPassthrough": [)" + text + "]}");
  };
  CHECK(rule(R"({"allow": [{"name": "x"}]})") == Lines{"evdevPassthrough[0]: found no VM, expected targetVm"});
  CHECK(rule(R"({"targetVm": "a", "allow": [{"property": "x"}]})") ==
        Lines{"evdevPassthrough[0].allow[0]: found property without value, expected both of them"});
  // The host goes on using an input device, so there is nothing to insist on.
  const Lines forced = rule(R"({"targetVm": "a", "allow": [{"name": "x"}], "force": true})");
  REQUIRE(forced.size() == 1);
  CHECK_THAT(forced[0], StartsWith("evdevPassthrough[0].force: unknown key; known here: "));
}

TEST_CASE("rules for PCI devices are read") {
  const ParsedConfig parsed = parse_config(R"({
    "vms": [{"name": "a", "socket": "/a"}],
    "pciPassthrough": [
      {"targetVm": "a", "description": "d", "pciIommuAddAll": true, "pciIommuSkipIfShared": true, "autoOvmf": true,
       "qemuUseRootBus": true, "skipOnSuspend": true, "tag": "t", "force": true,
       "allow": [{"address": "0000:01:00.0", "vendorId": "8086", "deviceId": "10d3", "deviceClass": 2,
                  "deviceSubclass": 0, "deviceProgIf": 1}],
       "deny": [{"deviceClass": 3}]}], "general": {"modprobe": "/bin/modprobe"}})");
  REQUIRE(parsed.config.pci_rules.size() == 1);
  PciRule expected;
  expected.vms = {"a"}, expected.description = "d", expected.tag = "t";
  expected.iommu_add_all = expected.iommu_skip_if_shared = expected.auto_ovmf = expected.use_root_bus = true;
  expected.skip_on_suspend = expected.force = true;
  PciMatch& match = expected.allow.emplace_back();
  match.address = "0000:01:00.0", match.vendor_id = 0x8086, match.device_id = 0x10d3;
  match.device_class = 2, match.device_subclass = 0, match.device_prog_if = 1;
  expected.deny.emplace_back().device_class = 3;
  CHECK(parsed.config.pci_rules[0] == expected);
  CHECK(parsed.config.general.modprobe == "/bin/modprobe");
  CHECK(problems(R"({"vms": [{"name": "a", "socket": "/a"}],
                     "pciPassthrough": [{"targetVm": "a", "allow": [{"address": "01:00.0"}]}]})") ==
        Lines{"pciPassthrough[0].allow[0].address: found \"01:00.0\", expected an address with its domain, such as "
              "\"0000:01:00.0\""});
}

TEST_CASE("a file that mixes the two formats is refused") {
  const Lines lines = problems(R"({"vms": [{"name": "a", "qmpSocket": "/a"}], "usbPassthrough": []})");
  REQUIRE(lines.size() == 1);
  CHECK_THAT(lines[0], ContainsSubstring("mixes two formats: vms[0].qmpSocket") && ContainsSubstring("usbPassthrough"));
}

TEST_CASE("every error in a configuration is reported with its path") {
  const std::string vm = R"("vms": [{"name": "net-vm", "socket": "/a"}])";
  const auto rule = [&](const std::string& text) {
    return problems("{" + vm + R"(, "usbPassthrough": [)" + text + "]}");
  };
  CHECK(
      rule(R"({"targetVm": "net-vn", "allow": [{"vendorId": "1"}]})") ==
      Lines{
          "usbPassthrough[0].targetVm: found \"net-vn\", expected the name of a VM in vms; did you mean \"net-vm\"?"});
  CHECK(rule(R"({"allowedVms": ["net-vm", "x"], "allow": [{"vendorId": "1"}]})")
            .at(0)
            .starts_with("usbPassthrough[0].allowedVms[1]: "));
  CHECK(rule(R"({"targetVm": "net-vm", "allow": [{}]})") ==
        Lines{"usbPassthrough[0].allow[0]: found no condition, expected at least one, or nothing would ever match"});
  CHECK(rule(R"({"targetVm": "net-vm", "allow": []})").size() == 1);
  CHECK(rule(R"({"allow": [{"vendorId": "1"}]})") ==
        Lines{"usbPassthrough[0]: found no VM, expected targetVm, or allowedVms"});
  CHECK(rule(R"({"targetVm": "net-vm", "alow": [{"vendorId": "1"}]})") ==
        Lines{"usbPassthrough[0].alow: unknown key; did you mean \"allow\"?"});
  CHECK(rule(R"({"targetVm": "net-vm", "allow": [{"vendorId": "12345"}, {"productName": "("}, {"bus": 0}]})").size() ==
        3);
  CHECK(rule(R"({"targetVm": "net-vm", "enable": true, "disable": true, "allow": [{"bus": 1}]})").size() == 1);

  CHECK(problems(R"({"vms": [{"name": "a", "socket": "/a"}, {"name": "a", "pid": 3}]})")
            .at(0)
            .starts_with("vms[1].name: "));
  CHECK(problems(R"({"vms": [{"name": "a"}]})").at(0).starts_with("vms[0]: found how the VM is found is not clear"));
  CHECK(problems(R"({"vms": [{"name": "a", "socket": "/a", "pid": 3}]})").size() == 1);
  CHECK(problems(R"({"vms": [{"name": "a", "socket": "/a", "type": "xen"}]})")
            .at(0)
            .starts_with("vms[0].type: found \"xen\""));
  CHECK(problems(R"({"vms": [], "vms": []})").at(0).find("vms") != std::string::npos);
  CHECK(problems("[]") == Lines{"found a list, expected an object"});
}

TEST_CASE("errors of all kinds are reported at once, without consequential ones") {
  CHECK(
      problems(R"({"vms": [{"name": "desktop", "socket": "/a"}],
      "usbPassthrough": [{"targetVm": "x", "allow": [{"vendorId": "xyz"}]}, {"targetVm": "b", "allow": [{"bus": 1}]}],
      "general": {"rest": {"enable": true, "host": "0.0.0.0"}, "api": {"port": 0}}})") ==
      Lines{"usbPassthrough[0].allow[0].vendorId: found \"xyz\", expected four hexadecimal digits, such as \"046d\"",
            "general.api.port: found 0, expected a whole number from 1 to 65535",
            "usbPassthrough[1].targetVm: found \"b\", expected the name of a VM in vms",
            "general.rest.host: found \"0.0.0.0\" lets every host in the network move devices and start VMs, expected "
            "\"127.0.0.1\", or general.rest.tokenFile with what clients have to know"});
  const Lines of_vm = problems(R"({"vms": [{"name": 7, "socket": "/a"}],
      "usbPassthrough": [{"targetVm": "a", "allow": [{"bus": 1}]}]})");
  REQUIRE(of_vm.size() == 1);
  CHECK(of_vm[0].starts_with("vms[0].name: "));
}

TEST_CASE("an API that every host in the network could use is refused, unless that is wanted") {
  const auto api = [](const std::string& more) {
    return problems(R"({"vms": [], "general": {"api": {"enable": true, "host": "0.0.0.0", "transports": ["tcp"])" +
                    more + "}}}");
  };
  REQUIRE(api("").size() == 1);
  CHECK_THAT(api("").at(0), ContainsSubstring("tokenFile") && ContainsSubstring("allowUnauthenticated"));
  CHECK(api(R"(, "tokenFile": "/token")").empty());
  CHECK(api(R"(, "allowUnauthenticated": true)").empty());
  const auto host = [](const std::string& name) {
    return problems(R"({"vms": [], "general": {"api": {"enable": true, "transports": ["tcp"], "host": ")" + name +
                    "\"}}}")
        .size();
  };
  for (const char* local : {"127.0.0.1", "127.0.0.2", "::1", "localhost"}) CHECK(host(local) == 0);
  for (const char* other : {"0.0.0.0", "::", "10.0.0.1", "example.org"}) CHECK(host(other) == 1);
}

TEST_CASE("meaningless permissions are refused") {
  const auto permission = [](const std::string& text) {
    return problems(R"({"vms": [{"name": "a", "socket": "/a"}], "general": {"api": {"permissions": [)" + text + "]}}}");
  };
  CHECK(permission(R"({"who": {"uid": 1}, "may": "read", "vms": ["a"]})").empty());
  CHECK(permission(R"({"who": {"uid": 1}})").size() == 1);
  CHECK(permission(R"({"may": "read"})").size() == 1);
  CHECK(permission(R"({"who": {"user": 1}, "may": "write"})").size() == 2);
  for (const char* wrong :
       {R"({"who": {"token": "t"}, "may": "read"})", R"({"who": {"uid": 1, "transport": "tcp"}, "may": "read"})",
        R"({"who": {"cid": 3, "transport": "unix"}, "may": "read"})",
        R"({"who": {"uid": 1}, "may": "read", "ownVm": true})",
        R"({"who": {"cid": 3}, "may": "read", "vms": ["a"], "ownVm": true})",
        R"({"who": {"cid": 3}, "may": "read", "vms": ["b"]})"}) {
    INFO(wrong);
    REQUIRE(permission(wrong).size() == 1);
    CHECK_THAT(permission(wrong)[0], ContainsSubstring("general.api.permissions[0]"));
  }
}

TEST_CASE("settings for other hypervisors are skipped with a warning") {
  const ParsedConfig parsed = parse_config(R"({
    "vms": [{"name": "a", "type": "crosvm", "socket": "/a"}, {"name": "b", "type": "qemu", "socket": "/b"}],
    "general": {"crosvm": "/usr/bin/crosvm", "api": {"enable": true, "transports": ["vsock"]}}
  })");
  REQUIRE(parsed.config.vms.size() == 1);
  CHECK(parsed.config.vms[0].name == "b");
  REQUIRE(parsed.warnings.size() == 3);
  CHECK_THAT(parsed.warnings[0], ContainsSubstring("vms[0].type"));
  CHECK_THAT(parsed.warnings[1], ContainsSubstring("general.crosvm"));
  CHECK_THAT(parsed.warnings[2], ContainsSubstring("allowedCids"));
}

TEST_CASE("paths in a configuration file are relative to its folder") {
  const test::TempDir dir;
  test::write_file(dir / "config.json", R"({"vms": [{"name": "a", "socket": "a.sock"}]})");
  CHECK(load_config(dir / "config.json").config.vms.at(0).socket == dir / "a.sock");
  CHECK_THROWS_WITH(load_config(dir / "none"), ContainsSubstring("none"));
  test::write_file(dir / "bad.json", "{\n  \"vms\": [,]}");
  CHECK_THROWS_WITH(load_config(dir / "bad.json"), ContainsSubstring((dir / "bad.json").string() + ":2:"));
}

TEST_CASE("the REST API is read, and refused where every host in the network could use it") {
  const ParsedConfig parsed =
      parse_config(R"({"vms": [], "general": {"rest": {"enable": true, "host": "::1", "port": 5001,
    "tokenFile": "tokens", "allowedOrigins": ["https://a.example.org:8443"], "devicesDir": "devices", "webvirtCompat": true}}})",
                   "file", "/etc/q");
  const RestConfig& rest = parsed.config.general.rest;
  CHECK(rest.enable);
  CHECK(rest.host == "::1");
  CHECK(rest.port == 5001);
  CHECK(rest.token_file == "/etc/q/tokens");
  CHECK(rest.allowed_origins == Lines(1, "https://a.example.org:8443"));
  CHECK(rest.devices_dir == "/etc/q/devices");
  CHECK(rest.webvirt_compat);
  const auto wrong = [](const std::string& members) {
    const Lines lines = problems(R"({"vms": [], "general": {"rest": {"enable": true, )" + members + "}}}");
    return lines.size() == 1 ? lines[0] : "(" + std::to_string(lines.size()) + " problems)";
  };
  CHECK_THAT(wrong(R"("host": "0.0.0.0")"), ContainsSubstring("general.rest.tokenFile"));
  CHECK_THAT(wrong(R"("host": "example.org")"), ContainsSubstring("an IP address"));
  for (const char* origin : {"*", "null", "example.org", "https://", "https://a/b", "https://a,https://b"})
    CHECK_THAT(wrong(R"("allowedOrigins": [")" + std::string(origin) + "\"]"), ContainsSubstring("allowedOrigins[0]"));
  CHECK(problems(R"({"vms": [], "general": {"rest": {"host": "0.0.0.0"}}})").empty()); // not enabled
}

TEST_CASE("each vm.json in a folder is a VM, and an invalid one does not affect the others") {
  const test::TempDir dir;
  test::write_file(dir / "web.json", R"({"memory": "128M"})");
  test::write_file(dir / "b.json", R"({"name": "database"})");
  test::write_file(dir / "c.json", R"({"name": "known"})");
  test::write_file(dir / "d.json", R"({"nmae": "x"})");
  test::write_file(dir / "e.json", ""); // about to be written
  test::write_file(dir / "notes.txt", "no VM");
  const std::string text = R"({"vms": [{"name": "known", "socket": "/run/known.sock"}],
    "usbPassthrough": [{"targetVm": "web", "allow": [{"vendorId": "046d"}]}], "general": {"rest": {"vmDir": ")" +
                           dir.path().string() + "\"}}}";
  const ParsedConfig parsed = parse_config(text);
  REQUIRE(parsed.config.vms.size() == 3);
  CHECK(parsed.config.vms[0].socket == "/run/known.sock");
  CHECK(parsed.config.vms[1].name == "database");
  CHECK(parsed.config.vms[1].config == (dir / "b.json").string());
  CHECK(parsed.config.vms[2].name == "web");
  REQUIRE(parsed.warnings.size() == 2);
  CHECK_THAT(parsed.warnings[0], ContainsSubstring("another VM \"known\""));
  CHECK_THAT(parsed.warnings[1], ContainsSubstring("did you mean name?") || ContainsSubstring("nmae"));
  CHECK_THAT(problems(R"({"vms": [], "general": {"rest": {"vmDir": "/nonexistent"}}})").at(0),
             ContainsSubstring("general.rest.vmDir"));
}

TEST_CASE(
    "a rule or permission for a VM whose file is missing or invalid is a warning, because the file may come back") {
  const test::TempDir dir;
  test::write_file(dir / "web.json", "{"); // about to be written anew
  test::write_file(dir / "database.json", R"({"memory": "128M"})");
  const std::string names = R"("vms": [],
    "usbPassthrough": [{"targetVm": "web", "allow": [{"vendorId": "046d"}]},
                       {"allowedVms": ["database", "databse"], "allow": [{"vendorId": "046e"}]}],
    "general": {"api": {"permissions": [{"who": {}, "may": "read", "vms": ["web"]}]})";
  const ParsedConfig parsed = parse_config("{" + names + R"(, "rest": {"vmDir": ")" + dir.path().string() + "\"}}}");
  CHECK(parsed.config.usb_rules.at(0).vms == Lines(1, "web"));
  REQUIRE(parsed.warnings.size() == 4);
  CHECK_THAT(parsed.warnings[0], ContainsSubstring("web.json is skipped"));
  CHECK_THAT(parsed.warnings[1], ContainsSubstring("usbPassthrough[0].targetVm: there is no VM \"web\""));
  CHECK_THAT(parsed.warnings[2], ContainsSubstring("allowedVms[1]") && ContainsSubstring("did you mean \"database\"?"));
  CHECK_THAT(parsed.warnings[3], ContainsSubstring("general.api.permissions[0].vms[0]"));
  CHECK(problems("{" + names + "}}").size() == 4); // without a folder there is nothing that could come
}
