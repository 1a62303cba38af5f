// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "start_devices.hpp"

#include "catch.hpp"
#include "expect_error.hpp"
#include "temp_dir.hpp"

#include <hotplug/config.hpp>
#include <qemuctl/error.hpp>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

using namespace hotplug;
using hotplug::detail::StartDevice;
using Words = std::vector<std::string>;

namespace {

PciDevice card(const std::string& address, std::uint16_t vendor = 0x8086, std::uint8_t device_class = 2) {
  PciDevice device;
  device.sys_name = address;
  device.vendor_id = vendor;
  device.device_class.code = device_class;
  return device;
}

InputDevice keyboard(const std::string& event) {
  InputDevice device;
  device.sys_name = event;
  device.device_node = "/dev/input/" + event;
  return device;
}

/// Three rules for cards, of which the second is for the root bus and UEFI, and two for input devices.
Rules rules() {
  Config config;
  config.pci_rules.resize(3);
  config.pci_rules[1].use_root_bus = config.pci_rules[1].auto_ovmf = true;
  config.input_rules.resize(2);
  config.input_rules[1].port_prefix = "ep";
  return Rules(config);
}

} // namespace

TEST_CASE("a VM starts with its cards in the order of their rules, each on a port of its own") {
  StartOptions options;
  options.bus_prefix = "rp";
  options.first_bus = 3;
  const StartArguments start = detail::start_arguments({{card("0000:02:00.0"), 2, "x"},
                                                        {card("0000:01:00.1"), 0, "y"},
                                                        {card("0000:00:02.0"), 1, "z"},
                                                        {card("0000:01:00.0"), 0, "w"}},
                                                       rules(), options);
  CHECK(start.arguments == Words{"-device", "vfio-pci,host=0000:01:00.0,id=w,bus=rp3,addr=0x0", //
                                 "-device", "vfio-pci,host=0000:01:00.1,id=y,bus=rp4,addr=0x0", //
                                 "-device", "vfio-pci,host=0000:00:02.0,id=z",                  //
                                 "-device", "vfio-pci,host=0000:02:00.0,id=x,bus=rp5,addr=0x0"});
  CHECK(start.buses == 3);
  CHECK_FALSE(start.uefi);
}

TEST_CASE("a VM that starts with a graphics card of NVIDIA's has UEFI firmware when its rule says so") {
  constexpr std::uint16_t nvidia = 0x10de, amd = 0x1002;
  const auto uefi = [](PciDevice device, std::size_t rule) {
    return detail::start_arguments({{std::move(device), rule, "x"}}, rules(), {}).uefi;
  };
  CHECK(uefi(card("0000:01:00.0", nvidia, 3), 1));
  CHECK_FALSE(uefi(card("0000:01:00.0", nvidia, 3), 0));
  CHECK_FALSE(uefi(card("0000:01:00.0", nvidia, 4), 1));
  CHECK_FALSE(uefi(card("0000:01:00.0", amd, 3), 1));
}

TEST_CASE("a card that a VM starts with has the ROM file that the user chose") {
  const std::vector<StartDevice> devices{{card("0000:01:00.0"), 0, "c", "/a,b.rom"}};
  CHECK(detail::start_arguments(devices, rules(), StartOptions()).arguments ==
        Words{"-device", "vfio-pci,host=0000:01:00.0,id=c,romfile=/a,,b.rom"});
}

TEST_CASE("input devices that a VM starts with go to the ports named by their rule, and to others only on request") {
  StartOptions options;
  options.bus_prefix = "rp";
  const std::vector<StartDevice> devices{
      {keyboard("event2"), 0, "a"}, {keyboard("event3"), 1, "b"}, {card("0000:01:00.0"), 0, "c"}};
  CHECK(detail::start_arguments(devices, rules(), options).arguments ==
        Words{"-device", "vfio-pci,host=0000:01:00.0,id=c,bus=rp0,addr=0x0",   //
              "-device", "virtio-input-host-pci,evdev=/dev/input/event2,id=a", //
              "-device", "virtio-input-host-pci,evdev=/dev/input/event3,id=b,bus=ep0,addr=0x0"});
  options.input_on_buses = true;
  const StartArguments all = detail::start_arguments(devices, rules(), options);
  CHECK(all.arguments[3] == "virtio-input-host-pci,evdev=/dev/input/event2,id=a,bus=rp1,addr=0x0");
  options.json = true;
  CHECK(detail::start_arguments(devices, rules(), options).arguments[3] ==
        R"({"driver":"virtio-input-host-pci","evdev":"/dev/input/event2","id":"a","bus":"rp1","addr":"0x0"})");
  CHECK(all.buses == 2);
}

TEST_CASE("a VM starts with its ACPI tables, except missing ones") {
  const test::TempDir dir;
  std::ofstream(dir / "one,two") << "table";
  std::vector<AcpiRule> tables(3);
  tables[0].vm = "a";
  tables[0].allow.resize(3);
  tables[0].allow[0].file = (dir / "none").string();
  tables[0].allow[1].file = (dir / "one,two").string();
  tables[0].allow[2].file = (dir / "one,two").string();
  tables[0].allow[2].set_user = "nobody-has-this-name";
  tables[1] = tables[0];
  tables[1].vm = "b";
  tables[2] = tables[0];
  tables[2].enabled = false;
  Words warnings;
  const auto warn = [&](const std::string& text) { warnings.push_back(text); };
  CHECK(detail::acpi_arguments(tables, "a", warn) == Words{"-acpitable", "file=" + (dir / "one,,two").string()});
  REQUIRE(warnings.size() == 2);
  CHECK(warnings[0].ends_with("none is skipped: there is no such file"));
  CHECK(warnings[1].ends_with("there is no user nobody-has-this-name"));
}

TEST_CASE("UEFI firmware is where the configuration says, or the error says what is missing") {
  const test::TempDir dir;
  std::ofstream(dir / "code") << "code";
  std::ofstream(dir / "vars") << "vars";
  const std::string code = (dir / "code").string(), vars = (dir / "vars").string();
  CHECK(detail::ovmf_arguments(code, vars) == Words{"-drive", "if=pflash,format=raw,unit=0,readonly=on,file=" + code,
                                                    "-drive", "if=pflash,format=raw,unit=1,readonly=on,file=" + vars});
  CHECK_THROWS_WITH(detail::ovmf_arguments(code, (dir / "none").string()),
                    Catch::Matchers::ContainsSubstring("general.ovmfVars"));
}

TEST_CASE("UEFI firmware and its variable store have the same size") {
  const test::TempDir dir;
  for (const char* name : {"OVMF_CODE.fd", "OVMF_VARS.fd", "OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"})
    std::ofstream(dir / name) << name;
  std::ofstream(dir / "OVMF_CODE_4M.secboot.fd") << "code";
  const auto file_of_vars = [&](const std::string& code) {
    const std::string argument = detail::ovmf_arguments(code, "", dir.path().string()).back();
    return argument.substr(argument.rfind('/') + 1);
  };
  CHECK(file_of_vars("") == "OVMF_VARS.fd");
  CHECK(file_of_vars((dir / "OVMF_CODE_4M.secboot.fd").string()) == "OVMF_VARS_4M.fd");
  std::filesystem::remove(dir / "OVMF_VARS.fd");
  std::filesystem::remove(dir / "OVMF_CODE.fd");
  CHECK(file_of_vars("") == "OVMF_VARS_4M.fd");
}

TEST_CASE("ACPI tables and firmware are read from a configuration, and errors in them are reported") {
  const Config config = parse_config(R"({"vms": [{"name": "a", "socket": "/a"}],
    "general": {"ovmfCode": "code.fd", "ovmfVars": "/vars.fd"},
    "acpiPassthrough": [{"targetVm": "a", "allow": [{"acpiTable": "t", "setUser": "u", "setGroup": "g"}]}]})",
                                     "c.json", "/etc")
                            .config;
  REQUIRE(config.acpi_rules.size() == 1);
  CHECK(config.acpi_rules[0].vm == "a");
  CHECK(config.acpi_rules[0].allow[0].file == "/etc/t");
  CHECK(config.acpi_rules[0].allow[0].set_user == "u");
  CHECK(config.acpi_rules[0].allow[0].set_group == "g");
  CHECK(config.general.ovmf_code == "/etc/code.fd");
  CHECK(config.general.ovmf_vars == "/vars.fd");
  CHECK_THROWS_WITH(parse_config(R"({"vms": [{"name": "gui", "socket": "/a"}],
    "acpiPassthrough": [{"targetVm": "giu", "allow": [{"acpiTable": "t"}]}, {"allow": []}]})"),
                    Catch::Matchers::ContainsSubstring("did you mean \"gui\"") &&
                        Catch::Matchers::ContainsSubstring("acpiPassthrough[1].allow"));
}
