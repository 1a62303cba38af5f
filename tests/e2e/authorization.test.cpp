// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "hotplug_host.hpp"

#include <string>

using namespace qemuctl;

namespace {

std::string attribute(test::HotplugHost& host, const std::string& device, const std::string& name) {
  return host.host.output_of("cat /sys/bus/usb/devices/" + device + "/" + name);
}

void wait_for_authorized(test::HotplugHost& host, const std::string& device, const std::string& value) {
  host.host.wait_until("test \"$(cat /sys/bus/usb/devices/" + device + "/authorized)\" = " + value);
}

} // namespace

TEST_CASE("the host uses only the USB devices meant for it, and everything is as before after the service has ended") {
  test::HotplugHost host;
  host.plug_tablet("old", "5", "old");
  host.host.wait_for_device("/sys/bus/usb/devices/1-5");
  host.start_vm("a");
  host.more_rules = Json::object(
      {{"usbAuthorization",
        parse_json(R"({"enable": true, "deauthorizeUnmatched": true, "hostAllow": [{"serial": "host"}]})")}});
  host.start_daemon(R"([{"targetVm": "a", "allow": [{"vendorId": "0627", "portPath": "1-3"}]}])");
  // What is there, and what comes, a hub but for its child.
  wait_for_authorized(host, "1-5", "0");
  CHECK(attribute(host, "usb1", "authorized_default") == "0");
  CHECK(attribute(host, "usb2", "authorized_default") == "0");
  host.host.plug(Json::object({{"driver", "usb-hub"}, {"id", "hub"}, {"port", "2"}}));
  host.plug_tablet("child", "2.1", "child");
  host.host.wait_for_device("/sys/bus/usb/devices/1-2.1");
  CHECK(attribute(host, "1-2.1", "authorized") == "0");
  CHECK(host.device("1-2.1").at("interfaces").as_string() == ":030000:"); // that is known all the same
  host.plug_tablet("mine", "4", "host");
  host.host.wait_for_device("/sys/bus/usb/devices/1-4");
  wait_for_authorized(host, "1-4", "1");
  // For as long as a VM has it.
  host.plug_tablet("guest", "3", "guest");
  host.wait_for("1-3", "a");
  CHECK(attribute(host, "1-3", "authorized") == "1");
  host.request(R"({"action": "usb_detach", "port_path": "1-3"})");
  wait_for_authorized(host, "1-3", "0");
  host.request(R"({"action": "usb_attach", "port_path": "1-3"})");
  host.wait_for("1-3", "a");

  // The next one knows what was before the one that was killed.
  host.signal_daemon("KILL");
  CHECK(attribute(host, "usb1", "authorized_default") == "0");
  host.start_daemon_again();
  host.wait_for("1-3", "a");
  host.signal_daemon("TERM");
  CHECK(attribute(host, "usb1", "authorized_default") == "1");
  CHECK(attribute(host, "usb2", "authorized_default") == "1");
  CHECK(attribute(host, "1-5", "authorized") == "1");
  CHECK(attribute(host, "1-4", "authorized") == "1");
  CHECK(host.host.usb_of(host.vm("a")).size() == 1);
  CHECK(host.host.output_of("ls /run/qemuctl/usb-authorization").empty());
}

TEST_CASE("when USB authorisation is turned off, or its service never comes back, the host gets its devices again") {
  test::HotplugHost host;
  host.plug_tablet("old", "5", "old");
  host.host.wait_for_device("/sys/bus/usb/devices/1-5");
  host.start_vm("a");
  const Json on =
      Json::object({{"usbAuthorization", Json::object({{"enable", true}, {"deauthorizeUnmatched", true}})}});
  host.more_rules = on;
  host.start_daemon("[]");
  wait_for_authorized(host, "1-5", "0");
  host.more_rules = Json();
  host.write_config("[]"); // which is read anew
  wait_for_authorized(host, "1-5", "1");
  host.host.wait_until("test \"$(cat /sys/bus/usb/devices/usb1/authorized_default)\" = 1");

  host.more_rules = on;
  host.write_config("[]");
  wait_for_authorized(host, "1-5", "0");
  host.signal_daemon("KILL");
  host.more_rules = Json();
  host.start_daemon("[]");
  wait_for_authorized(host, "1-5", "1");
  host.host.wait_until("test -z \"$(ls /run/qemuctl/usb-authorization)\"");
}
