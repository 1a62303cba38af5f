// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "hotplug_host.hpp"

#include <string>
#include <vector>

using namespace qemuctl;

namespace {

constexpr const char* two_ports =
    "-device pcie-root-port,id=ep0,chassis=1,slot=1 -device pcie-root-port,id=ep1,chassis=2,slot=2";

Json rules(const std::string& allow) {
  return Json::object({{"evdevPassthrough", parse_json(R"([{"targetVm": "a", "allow": [)" + allow + "]}]")}});
}

std::vector<std::string> inputs_of(test::HotplugHost& host) {
  return host.host.ids_of(host.vm("a"), "virtio-input-host-pci");
}

void wait_for_inputs(test::HotplugHost& host, std::size_t count) {
  host.host.wait_until(std::to_string(count) + " input devices in the VM",
                       [&] { return inputs_of(host).size() == count; });
}

/// How much of a processor QEMU's main loop uses, in percent, seen for a second.
int load_of(test::HotplugHost& host) {
  const std::string pid = std::to_string(host.vm("a").pid());
  const std::string now =
      "$(awk '{print $14 + $15}' /proc/" + pid + "/task/" + pid + "/stat) $(cut -d' ' -f1 /proc/uptime)";
  return std::stoi(host.host.output_of("before=\"" + now + "\"; sleep 1; echo $before " + now +
                                       " | awk '{printf \"%d\", ($3 - $1) / ($4 - $2)}'"));
}

/// Its process.
int start_keyboard(test::HotplugHost& host) {
  host.host.output_of("modprobe -a uinput evdev");
  const int pid = host.host.spawn(QEMUCTL_INPUT_DEVICE " make 'Virtual Keys'", "/tmp/keyboard.log");
  host.host.wait_until("grep -q ready /tmp/keyboard.log");
  return pid;
}

} // namespace

TEST_CASE("the host's keyboard goes to a free port of a VM as soon as no other program has grabbed it") {
  test::HotplugHost host;
  host.start_vm("a", std::string(two_ports) + " -device virtio-rng-pci,bus=ep0");
  const std::string node =
      host.host.output_of("echo /dev/input/$(basename /sys/devices/platform/i8042/serio0/input/input*/event*)");
  host.host.wait_for_device(node);
  const int other = host.host.spawn(QEMUCTL_INPUT_DEVICE " hold " + node, "/tmp/other.log");
  host.host.wait_until("grep -q ready /tmp/other.log");
  host.more_rules = rules(R"({"name": "at .*keyboard", "pathTag": "platform-i8042"})");
  host.start_daemon("[]", {}, "-a");
  host.host.wait_until("grep -q 'another program has .* for itself.*input_device' /tmp/daemon.log");
  CHECK(inputs_of(host).empty());
  host.host.output_of("kill " + std::to_string(other));
  wait_for_inputs(host, 1);
  const Json place = host.host.execute(
      host.vm("a"), "qom-get",
      Json::object({{"path", "/machine/peripheral/" + inputs_of(host)[0]}, {"property", "parent_bus"}}));
  CHECK(place.as_string().ends_with("/ep1"));

  // Another engine knows it again.
  const std::vector<std::string> before = inputs_of(host);
  host.signal_daemon("KILL");
  host.start_daemon_again();
  host.host.wait_until("grep -q 'VM a: yielded' /tmp/daemon.log");
  CHECK(inputs_of(host) == before);

  // The VM has no guest that could let go of it; a reset does.
  host.more_rules = rules(R"({"name": "nothing"})");
  host.write_config("[]");
  host.host.wait_until("grep -q 'has not let go of event.*; it is asked again' /tmp/daemon.log");
  host.host.execute(host.vm("a"), "system_reset");
  wait_for_inputs(host, 0);
}

TEST_CASE("a keyboard that its VM already uses otherwise is reported") {
  test::HotplugHost host;
  const std::string node =
      host.host.output_of("echo /dev/input/$(basename /sys/devices/platform/i8042/serio0/input/input*/event*)");
  host.host.wait_for_device(node);
  host.start_vm("a", std::string(two_ports) + " -object input-linux,id=keys,evdev=" + node);
  host.more_rules = rules(R"({"name": "at .*keyboard", "pathTag": "platform-i8042"})");
  host.start_daemon("[]", {}, "-a");
  host.host.wait_until("grep -q 'QEMU has " + node + " already, for something else' /tmp/daemon.log");
  CHECK(inputs_of(host).empty());
}

TEST_CASE("an input device that vanishes is deleted at once, so that its VM does not spin") {
  test::HotplugHost host;
  host.start_vm("a", two_ports);
  host.more_rules = rules(R"({"property": "ID_INPUT_KEY", "value": "1", "name": "virtual keys"})");
  host.start_daemon("[]");
  const int first = start_keyboard(host);
  wait_for_inputs(host, 1);
  host.host.output_of("kill " + std::to_string(first));
  host.host.wait_until("grep -q 'deleting evdevhost-.*: the device is gone' /tmp/daemon.log");
  // What comes next has the same node, and is another device on another port.
  start_keyboard(host);
  wait_for_inputs(host, 2);
  host.host.execute(host.vm("a"), "system_reset");
  wait_for_inputs(host, 1);
  CHECK(load_of(host) < 50);
}
