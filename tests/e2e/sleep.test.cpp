// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "hotplug_host.hpp"

#include <string>

using namespace qemuctl;

namespace {

constexpr const char* bus = "unix:path=/tmp/bus";

/// How often it has said that.
int count(test::HotplugHost& host, const std::string& line) {
  return std::stoi(host.host.output_of("grep -c '^" + line + "' /tmp/logind.log || true"));
}

} // namespace

TEST_CASE("devices leave their VMs before the host sleeps, and return when it is awake") {
  test::HotplugHost host;
  host.host.output_of(std::string("dbus-daemon --session --nopidfile --fork --address=") + bus);
  const std::string with_bus = std::string("DBUS_SYSTEM_BUS_ADDRESS=") + bus;
  const int logind = host.host.spawn("env " + with_bus + " " + QEMUCTL_FAKE_LOGIND, "/tmp/logind.log");
  host.host.wait_until("grep -q ready /tmp/logind.log");
  const auto tell = [&](const std::string& signal) {
    host.host.output_of("kill -" + signal + " " + std::to_string(logind));
  };
  host.start_vm("a");
  host.start_vm("b");
  host.environment = with_bus;
  host.start_daemon(R"([{"targetVm": "a", "allow": [{"portPath": "1-3"}], "skipOnSuspend": true},
                        {"allowedVms": ["a", "b"], "allow": [{"vendorId": "0627"}]}])");
  host.host.wait_until("grep -q '^lock: sleep qemuctl-hotplugd delay' /tmp/logind.log");
  host.plug_tablet("stays", "3", "stays");
  host.plug_tablet("leaves", "4", "leaves");
  host.wait_for("1-3", "a");
  host.host.wait_until("grep -q usb_select_vm /tmp/notifications");
  host.request(R"({"action": "usb_attach", "port_path": "1-4", "vm": "b"})");
  host.wait_for("1-4", "b");

  tell("USR1");
  host.host.wait_until("grep -q '^asleep' /tmp/logind.log");
  CHECK(host.host.usb_of(host.vm("b")).empty()); // before it is, not a moment later
  CHECK(host.host.usb_of(host.vm("a")).size() == 1);
  CHECK(host.device("1-4").at("suspended").as_bool());
  // What loses its power comes back as a new one.
  host.host.pull("leaves");
  host.plug_tablet("leaves-again", "4", "leaves");
  tell("USR2");
  host.wait_for("1-4", "b");
  host.wait_for("1-3", "a");

  // The next time, too; what did not lose its power is the same as before.
  host.host.wait_until("test $(grep -c '^lock' /tmp/logind.log) = 2");
  tell("USR1");
  host.host.wait_until("test $(grep -c '^asleep' /tmp/logind.log) = 2");
  CHECK(host.host.usb_of(host.vm("b")).empty());
  tell("USR2");
  host.wait_for("1-4", "b");
  CHECK(count(host, "asleep") == 2);
}
