// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// The cards that a VM has from its start on.
#include "catch.hpp"
#include "pci_host.hpp"

#include <chrono>
#include <string>

using Catch::Matchers::ContainsSubstring;
using qemuctl::Json;
using qemuctl::parse_json;
using test::lent;
using test::one_port;
using test::PciHost;

TEST_CASE("a card that a VM starts with is in the VM from the beginning, and back with the host when the VM is gone") {
  PciHost host;
  const std::string card = host.plug_card("e1000e", "one", "rp0");
  host.wait_for_driver(card, "e1000e");
  host.more_rules = PciHost::rules_for(PciHost::by_address(card));
  host.start_daemon("[]", {R"({"name": "a", "type": "qemu", "socket": "/run/a.qmp"})"});
  const std::string arguments = PciHost::command("vmm-args a --bus-prefix ep");
  host.start_vm("a", std::string(one_port) + " $(" + arguments + ")");
  CHECK(host.driver_of(card) == "vfio-pci");
  host.host.wait_until("the service knows it", [&] {
    const Json list = host.request(R"({"action": "pci_list"})");
    for (const Json& each : list.at("pci_devices").as_array())
      if (each.at("address") == Json(card)) return each.contains("vm") && !each.contains("foreign");
    return false;
  });
  host.kill_vm("a");
  host.wait_for_driver(card, "e1000e");

  // No QEMU comes, and the service does not live to see that.
  host.host.output_of(arguments);
  CHECK(host.driver_of(card) == "vfio-pci");
  host.signal_daemon("KILL");
  host.start_daemon_again();
  host.wait_for_driver(card, "e1000e");
  host.host.output_of(arguments);
  CHECK(host.driver_of(card) == "vfio-pci");
  host.signal_daemon("TERM");
  CHECK(host.driver_of(card) == "e1000e");

  // qemuctl-run does it all by itself.
  host.host.write_file("/tmp/b.json",
                       R"({"name": "b", "machine": {"type": "q35", "accel": "tcg"}, "memory": {"size": 64},
    "hotplug": {"atStart": true, "pciPassthrough": [{"allow": [{"address": ")" +
                           card + R"("}]}]}})");
  const std::string runner = std::to_string(host.host.spawn(std::string(QEMUCTL_RUN) + " /tmp/b.json", "/tmp/b.log"));
  // It looks at what its QEMU can do first, which takes its time in a VM.
  host.host.wait_until("grep -q '^state: running' /tmp/b.log", std::chrono::minutes(3));
  CHECK(host.driver_of(card) == "vfio-pci");
  const std::string pid = host.host.output_of("sed -n 's/^pid: //p' /tmp/b.log");
  CHECK_THAT(host.host.output_of("tr '\\0' ' ' </proc/" + pid + "/cmdline"),
             ContainsSubstring("\"host\":\"" + card + "\"") && ContainsSubstring("\"bus\":\"rp4\""));
  host.host.output_of(std::string(QEMUCTL_CLI) + " --pid " + pid + " vm stop");
  host.host.wait_until("! kill -0 " + runner);
  CHECK(host.driver_of(card) == "e1000e");
  CHECK(host.host.output_of(std::string("ls ") + lent).empty());

  // It is interrupted while its QEMU, which told what it can do, does not start.
  host.host.write_file("/tmp/stuck", "#!/bin/sh\ncase \"$*\" in *guest=c,*) read nothing </tmp/never;; esac\n"
                                     "exec qemu-system-x86_64 \"$@\"\n");
  host.host.output_of("mkfifo /tmp/never && chmod +x /tmp/stuck");
  host.host.output_of(R"(sed 's|{"name": "b"|{"name": "c", "qemuPath": "/tmp/stuck"|' /tmp/b.json >/tmp/c.json)");
  const std::string stuck = std::to_string(host.host.spawn(std::string(QEMUCTL_RUN) + " /tmp/c.json", "/tmp/c.log"));
  host.host.wait_until("test /sys/bus/pci/devices/" + card + "/driver -ef /sys/bus/pci/drivers/vfio-pci",
                       std::chrono::minutes(3));
  host.host.output_of("kill -INT " + stuck);
  host.host.wait_until("! kill -0 " + stuck);
  CHECK(host.driver_of(card) == "e1000e");
  CHECK(host.host.output_of(std::string("ls ") + lent).empty());
}

TEST_CASE("a card is given back at once when the VM that was to start with it does not start") {
  PciHost host;
  const std::string card = host.plug_card("e1000e", "one", "rp0");
  host.wait_for_driver(card, "e1000e");
  // What is wrong with it only QEMU sees, when the card is prepared.
  host.host.write_file("/tmp/b.json", R"({"name": "b", "machine": {"type": "q35", "accel": "tcg"}, "memory": 64,
    "extraArgs": ["-device", "no-such-device"], "hotplug": {"atStart": true}})");
  host.more_rules = parse_json(R"({"pciPassthrough": [{"targetVm": "b", "allow": [{"address": ")" + card + R"("}]}]})");
  host.start_daemon("[]", {R"({"name": "b", "config": "/tmp/b.json"})"});
  // The service looks at what its QEMU can do first, which takes its time in a VM.
  const test::CommandResult started = host.host.run(PciHost::command("vm start b"), std::chrono::minutes(3));
  CHECK(started.status == 1);
  CHECK_THAT(started.output, ContainsSubstring("no-such-device"));
  host.wait_for_log(card + ": vfio-pci has it now");
  host.wait_for_driver(card, "e1000e", std::chrono::seconds(20)); // it is not kept for a QEMU that may still come
  host.host.wait_until(std::string("test -z \"$(ls ") + lent + ")\"");
  host.signal_daemon("TERM");

  host.host.write_file("/tmp/rules.json", host.more_rules.dump());
  const test::CommandResult run =
      host.host.run(std::string(QEMUCTL_RUN) + " -v /tmp/b.json --hotplug /tmp/rules.json", std::chrono::minutes(3));
  CHECK(run.status == 1);
  CHECK_THAT(run.output, ContainsSubstring("no-such-device") && ContainsSubstring(card + " is back with the host"));
  CHECK(host.driver_of(card) == "e1000e");
  CHECK(host.host.output_of(std::string("ls ") + lent).empty());
}
