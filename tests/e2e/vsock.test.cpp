// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// The device API over VSOCK, which a kernel that is ours to change loops back.
#include "catch.hpp"
#include "hotplug_host.hpp"

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

TEST_CASE("devices are moved over VSOCK by those who may, and nobody else gets an answer") {
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
}
