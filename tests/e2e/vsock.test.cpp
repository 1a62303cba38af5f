// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// The device API over VSOCK, which a kernel that is ours to change loops back.
#include "catch.hpp"
#include "hotplug_host.hpp"
#include "machine.hpp"
#include "saved_guest.hpp"

#include <chrono>
#include <string>

using namespace qemuctl;
using Catch::Matchers::ContainsSubstring;

namespace {

std::string configuration(const std::string& socket, const std::string& cids) {
  return R"({"vms": [{"name": "a", "socket": ")" + socket + R"("}],
    "usbPassthrough": [{"targetVm": "a", "allow": [{"vendorId": "0627"}]}],
    "general": {"persistency": false, "api": {"enable": true, "transports": ["unix", "vsock"], "port": 2000,
      "unixSocket": ")" +
         test::HotplugHost::api_path + R"(", "allowedCids": [)" + cids + "]}}}";
}

} // namespace

TEST_CASE("permitted clients move devices over VSOCK, and nobody else gets an answer") {
  test::HotplugHost host;
  host.host.output_of("modprobe vsock_loopback");
  const std::string socket = host.start_vm("a").socket();
  host.host.write_file(test::HotplugHost::config_path, configuration(socket, "1"));
  host.start_daemon_again();
  host.plug_tablet("tablet", "3");
  host.wait_for("1-3", "a");
  const std::string qemuctl = std::string(QEMUCTL_CLI) + " --vsock 1:2000 ";
  CHECK_THAT(host.host.output_of(qemuctl + "usb list"), ContainsSubstring("attached"));
  host.host.output_of(qemuctl + "usb detach 1-3");
  host.wait_for("1-3", "");
  host.host.output_of(qemuctl + "usb attach tablet a");
  host.wait_for("1-3", "a");
  const std::string log = host.host.output_of(std::string("grep audit: ") + test::HotplugHost::log_path);
  CHECK_THAT(log, ContainsSubstring("audit: CID 1 on vsock: usb_detach") && ContainsSubstring(": done"));

  // A guest may not control VMs unless it is said so.
  const test::CommandResult refused = host.host.run(qemuctl + "vm pause a");
  CHECK(refused.status == 1);
  CHECK_THAT(refused.output, ContainsSubstring("\"admin\""));

  host.signal_daemon("TERM");
  host.host.write_file(test::HotplugHost::config_path, configuration(socket, "5"));
  host.start_daemon_again();
  const test::CommandResult other = host.host.run(qemuctl + "usb list");
  CHECK(other.status == 1);
  CHECK_THAT(other.output, ContainsSubstring("CID 1 is not in general.api.allowedCids"));
  host.host.wait_until(std::string("grep -q 'CID 1 on vsock: refused' ") + test::HotplugHost::log_path);

  // A process of the host is no guest, and does not look for a host of its own.
  host.signal_daemon("TERM");
  std::string open = configuration(socket, "");
  open.replace(open.find(", \"allowedCids\": []"), 19, "");
  host.host.write_file(test::HotplugHost::config_path, open);
  host.start_daemon_again();
  CHECK_THAT(host.host.run(qemuctl + "usb list").output, ContainsSubstring("CID 1 is no guest"));
  const test::CommandResult alone = host.host.run(std::string(QEMUCTL_CLI) + " usb list");
  CHECK_THAT(alone.output, ContainsSubstring("/var/lib/vhotplug/vhotplug.sock") && !ContainsSubstring("CID 2"));
}

TEST_CASE("every message of the device API is the same over VSOCK") {
  test::HostVm host;
  host.output_of("modprobe vsock_loopback");
  // One of the messages starts a VM. What its QEMU can do takes minutes to find out in a VM, and is remembered.
  const std::string qemu = test::qemus().front().string();
  host.write_file("/tmp/vm.json", R"({"name": "vm", "machine": {"accel": "tcg"}, "qemuPath": ")" + qemu + "\"}");
  host.output_of(std::string(QEMUCTL_RUN) + " --check /tmp/vm.json", std::chrono::minutes(3));
  CHECK_THAT(host.output_of(QEMUCTL_UDEV_TESTS " '[vsock]'", std::chrono::minutes(3)),
             ContainsSubstring("in 1 test case"));
}

TEST_CASE("a process in a guest sees and moves only the devices that its own VM may have") {
  test::SavedGuest guest;
  test::HotplugHost host;
  host.host.output_of("modprobe vhost_vsock");
  host.start_vm("a", guest.arguments() + " -device vhost-vsock-pci,guest-cid=42");
  host.start_vm("b");
  host.plug_tablet("mine", "3", "mine");
  host.plug_tablet("other", "4", "other");
  host.plug_tablet("both", "5", "both");
  for (const char* port : {"3", "4", "5"}) host.host.wait_for_device(std::string("/sys/bus/usb/devices/1-") + port);
  host.more_rules = parse_json(R"({"general": {"persistency": false, "api": {"enable": true, "port": 2000,
    "transports": ["unix", "vsock"], "unixSocket": ")" +
                               std::string(test::HotplugHost::api_path) + R"(", "permissions": [
      {"who": {"transport": "unix"}, "may": "admin"},
      {"who": {"transport": "vsock"}, "may": "attach", "ownVm": true}]}}})");
  host.start_daemon(R"([{"targetVm": "a", "allow": [{"serial": "mine"}]},
                        {"targetVm": "b", "allow": [{"serial": "other"}]},
                        {"allowedVms": ["a", "b"], "allow": [{"serial": "both"}]}])",
                    {}, "-a");
  host.wait_for("1-3", "a");
  host.wait_for("1-4", "b");
  host.request(R"({"action": "usb_attach", "port_path": "1-5", "vm": "b"})");
  host.wait_for("1-5", "b");

  guest.run(host.host, "echo 1 >/sys/bus/pci/rescan");
  int answers = 0;
  const auto ask = [&](const std::string& request) {
    const std::string file = "/tmp/" + std::to_string(++answers);
    guest.run(host.host, "/call vsock:2:2000 '" + request + "' >" + file + "; sed 's/^/answer " +
                             std::to_string(answers) + ": /' " + file);
    return parse_json(
        host.host.output_of("sed -n 's/^answer " + std::to_string(answers) + ": //p' /tmp/guest.console | tr -d '\r'"));
  };
  const Json vms = ask(R"({"action": "vm_list"})");
  REQUIRE(vms.at("vms").size() == 1);
  CHECK(vms.at("vms").as_array()[0].at("name") == Json("a"));
  // What is in the other VM is not seen, even where it might come from there.
  const Json list = ask(R"({"action": "usb_list"})");
  std::string seen;
  for (const Json& device : list.at("usb_devices").as_array()) seen += device.at("port_path").as_string() + " ";
  CHECK(seen == "1-3 1-5 ");
  CHECK(ask(R"({"action": "usb_detach", "port_path": "1-4"})").at("result") == Json("failed"));
  CHECK(ask(R"({"action": "usb_attach", "port_path": "1-5", "vm": "a"})").at("result") == Json("failed"));
  CHECK(ask(R"({"action": "vm_pause", "vm": "a"})").at("result") == Json("failed"));
  host.wait_for("1-4", "b");
  host.wait_for("1-5", "b");

  CHECK(ask(R"({"action": "usb_detach", "port_path": "1-3"})").at("result") == Json("ok"));
  host.wait_for("1-3", "");
  CHECK(ask(R"({"action": "usb_attach", "port_path": "1-3"})").at("result") == Json("ok"));
  host.wait_for("1-3", "a");
  const std::string log = host.host.output_of(std::string("grep audit: ") + test::HotplugHost::log_path);
  CHECK_THAT(log, ContainsSubstring("audit: CID 42 (VM a) on vsock: usb_detach"));
}
