// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// Cards, and an input device, that people ask for.
#include "catch.hpp"
#include "pci_host.hpp"

#include <string>

using Catch::Matchers::ContainsSubstring;
using qemuctl::Json;
using qemuctl::parse_json;
using test::one_port;
using test::PciHost;
using test::two_ports;

TEST_CASE("users move cards and input devices through the device API") {
  PciHost host;
  const std::string card = host.plug_card("e1000e", "one", "rp0");
  host.wait_for_driver(card, "e1000e");
  host.host.output_of("modprobe -a uinput evdev");
  host.host.spawn(QEMUCTL_INPUT_DEVICE " make 'Virtual Keys'", "/tmp/keyboard.log");
  host.host.wait_until("grep -q ready /tmp/keyboard.log");
  host.start_vm("a", two_ports);
  host.more_rules = PciHost::rules_for(PciHost::by_address(card));
  host.more_rules.set("evdevPassthrough", parse_json(R"([{"targetVm": "a", "allow": [{"name": "virtual keys"}]}])"));
  host.start_daemon("[]"); // without -a, so what is there stays with the host
  const std::string qemuctl = PciHost::command("");
  CHECK_THAT(host.host.output_of(qemuctl + "pci list"), ContainsSubstring("was plugged in before the service"));
  CHECK_THAT(host.host.output_of(qemuctl + "evdev attach 'virtual keys'"), ContainsSubstring("is in VM a now"));
  CHECK_THAT(host.host.output_of(qemuctl + "pci attach " + card), ContainsSubstring("is in VM a now"));
  CHECK(host.driver_of(card) == "vfio-pci");
  CHECK(host.host.ids_of(host.vm("a"), "vfio-pci").size() == 1);
  CHECK(host.host.ids_of(host.vm("a"), "virtio-input-host-pci").size() == 1);

  // The VM has no guest that could let go of it; a reset does.
  host.host.spawn(qemuctl + "pci detach " + card, "/tmp/detached");
  host.wait_for_log("VM a: deleting pcihost");
  host.reset_vm("a");
  host.host.wait_until("grep -q 'is detached until somebody attaches it' /tmp/detached");
  host.wait_for_driver(card, "e1000e");
  CHECK(host.request(R"({"action": "pci_list", "disconnected": true})").at("pci_devices").size() == 1);
}

TEST_CASE("a card gets the ROM file that webvirt's request names, and is left alone if there is no such file") {
  PciHost host;
  const std::string card = host.plug_card("e1000e", "one", "rp0");
  host.wait_for_driver(card, "e1000e");
  host.start_vm("a", one_port);
  host.host.output_of("mkdir /tmp/templates; head -c 1024 /dev/zero >/tmp/patched.rom");
  host.host.write_file("/tmp/templates/rom.xml", R"(<hostdev mode='subsystem' type='pci' managed='yes'><source>
    <address domain='0x0000' bus='0x$BUS' slot='0x00' function='0x0'/><rom file="$ROM"/></source></hostdev>)");
  host.more_rules = PciHost::rules_for(PciHost::by_address(card));
  host.more_rules.set("general", parse_json(R"({"statePath": "/tmp/state/hotplug.state",
    "api": {"enable": true, "transports": ["unix"], "unixSocket": ")" +
                                            std::string(test::HotplugHost::api_path) + R"("},
    "rest": {"enable": true, "webvirtCompat": true, "devicesDir": "/tmp/templates"}})"));
  host.start_daemon("[]"); // without -a, so what is there stays with the host
  const auto attach = [&](const std::string& rom) {
    return host.host.output_of("curl -s 'http://127.0.0.1:5000/api/0/attach/a/rom?bus=" + card.substr(5, 2) +
                               "&rom=" + rom + "'");
  };
  CHECK_THAT(attach("/tmp/other.rom"), ContainsSubstring("No such file"));
  CHECK(host.driver_of(card) == "e1000e");
  CHECK_THAT(attach("/tmp/patched.rom"), ContainsSubstring("attached"));
  const auto rom_of_card = [&] {
    Json arguments;
    arguments.set("path", "/machine/peripheral/" + host.host.ids_of(host.vm("a"), "vfio-pci").at(0));
    arguments.set("property", "romfile");
    return host.host.execute(host.vm("a"), "qom-get", arguments);
  };
  CHECK(rom_of_card() == Json("/tmp/patched.rom"));
  host.kill_vm("a");
  host.wait_for_driver(card, "e1000e");
  host.start_vm("a", one_port);
  host.wait_for_cards(1);
  CHECK(rom_of_card() == Json("/tmp/patched.rom"));
}
