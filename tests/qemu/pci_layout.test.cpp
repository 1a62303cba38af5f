// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// Where PCI devices are, as QEMU has them, and that there is room to plug in more.
#include "ask.hpp"
#include "machine.hpp"
#include "temp_dir.hpp"

#include <qemuctl/error.hpp>

#include <fmt/format.h>

#include <set>
#include <string>
#include <vector>

using namespace qemuctl;
using Catch::Matchers::ContainsSubstring;
using test::describe;
using test::PausedVm;
using test::property;

namespace {

/// A VM with so many network cards.
VmConfig with_cards(std::size_t count, const std::string& more, const test::TempDir& dir,
                    const std::filesystem::path& qemu) {
  VmConfig config = describe(fmt::format(R"({{"memory": 128{}}})", more), dir, qemu);
  config.networks.resize(count);
  return config;
}

std::string on_machine(const std::string& type) {
  return fmt::format(R"(, "machine": "{}")", type);
}

/// The bus of a device, as QEMU names the place it is in: "pcie.0", "rp0".
std::string bus_of(PausedVm& vm, const std::string& id) {
  const std::string path = vm(property("/machine/peripheral/" + id, "parent_bus")).as_string();
  return path.substr(path.rfind('/') + 1);
}

Json device_add(PausedVm& vm, const std::string& driver, const std::string& id, const std::string& bus,
                const char* address) {
  Json arguments = Json::object({{"driver", driver}, {"id", id}, {"bus", bus}});
  if (address) arguments.set("addr", address);
  return vm({"device_add", arguments});
}

/// All are where they were placed, no two in one place.
void check_places(PausedVm& vm, std::size_t count) {
  std::set<std::string> places;
  for (std::size_t i = 0; i < count; ++i) {
    const std::string path = fmt::format("/machine/peripheral/net{}", i);
    const std::string bus = bus_of(vm, fmt::format("net{}", i));
    places.insert(fmt::format("{} {}", bus, vm(property(path, "addr")).as_int()));
  }
  CHECK(places.size() == count);
}

void check_hotplug(PausedVm& vm, std::size_t ports) {
  std::set<std::int64_t> chassis, slots;
  for (std::size_t i = 0; i < ports; ++i) {
    const std::string port = fmt::format("rp{}", i);
    INFO(port);
    CHECK(vm(property("/machine/peripheral/" + port, "hotplug")) == Json(true));
    chassis.insert(vm(property("/machine/peripheral/" + port, "chassis")).as_int());
    slots.insert(vm(property("/machine/peripheral/" + port, "slot")).as_int());
    const std::string id = "plugged" + std::to_string(i);
    device_add(vm, "virtio-net-pci", id, port, "0x0");
    CHECK(bus_of(vm, id) == port);
  }
  CHECK(chassis.size() == ports);
  CHECK(slots.size() == ports);
  CHECK_THROWS_WITH(device_add(vm, "virtio-net-pci", "more", "rp0", "0x0"),
                    ContainsSubstring("in use by virtio-net-pci,id=plugged0"));
}

void check_machine(const std::string& type, const std::filesystem::path& qemu, const std::string& arch = "") {
  const std::string on = on_machine(type) + (arch.empty() ? "" : R"(, "arch": ")" + arch + '"');
  INFO(type);
  const test::TempDir dir;
  {
    PausedVm vm(with_cards(60, on, dir, qemu));
    check_places(vm, 60);
  }
  {
    PausedVm vm(with_cards(20, on + R"(, "noDefaults": false)", dir, qemu));
    check_places(vm, 20);
  }
}

void check_express(const std::string& type, const std::filesystem::path& qemu, const std::string& arch = "") {
  check_machine(type, qemu, arch);
  const std::string on = on_machine(type) + (arch.empty() ? "" : R"(, "arch": ")" + arch + '"');
  INFO(type);
  const test::TempDir dir;
  PausedVm vm(with_cards(20, on + R"(, "hotplug": {"pciePorts": 24})", dir, qemu));
  check_places(vm, 20);
  CHECK(bus_of(vm, "net19") == "pcie.0");
  check_hotplug(vm, 24);
}

} // namespace

QEMU_TEST_CASE("a q35 machine has room for sixty devices, and for hot-plugged ones") {
  check_express("q35", qemu);
}

QEMU_TEST_CASE("a q35 machine of an older version has the same room") {
  check_express("pc-q35-7.2", qemu);
}

QEMU_TEST_CASE("a pc machine has room for sixty devices") {
  check_machine("pc", qemu);
}

TEST_CASE("a virt machine for arm64 has room for sixty devices, and for hot-plugged ones") {
  check_express("virt", test::qemu_for("arm64"), "arm64");
}

QEMU_TEST_CASE("the defaults for hot plugging are four ports and a USB controller with fifteen ports") {
  const test::TempDir dir;
  PausedVm vm(with_cards(2, R"(, "hotplug": {})", dir, qemu));
  check_hotplug(vm, 4);
  CHECK_THROWS_AS(vm(property("/machine/peripheral/rp4", "chassis")), Error);
  CHECK(vm(property("/machine/peripheral/usb", "p2")) == Json(15));
  CHECK(vm(property("/machine/peripheral/usb", "p3")) == Json(15));
}

QEMU_TEST_CASE("a pc machine needs no ports for hot plugging") {
  const test::TempDir dir;
  PausedVm vm(with_cards(2, R"(, "machine": "pc", "hotplug": {})", dir, qemu));
  CHECK_THROWS_AS(vm(property("/machine/peripheral/rp0", "chassis")), Error);
  device_add(vm, "virtio-net-pci", "plugged", "pci.0", nullptr);
  CHECK(bus_of(vm, "plugged") == "pci.0");
  device_add(vm, "usb-tablet", "tablet", "usb.0", nullptr);
}

QEMU_TEST_CASE("conventional PCI devices are on the root bus, and behind root ports once it is full") {
  const test::TempDir dir;
  VmConfig config = with_cards(40, R"(, "display": {"video": "vga"})", dir, qemu);
  for (std::size_t i = 0; i < config.networks.size(); ++i) config.networks[i].model = i % 2 == 0 ? "e1000" : "rtl8139";
  PausedVm vm(config);
  check_places(vm, 40);
  CHECK(bus_of(vm, "net0") == "pcie.0");
  CHECK(bus_of(vm, "net39").starts_with("port"));
}
