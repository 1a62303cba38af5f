// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "config/pci_layout.hpp"

#include "catch.hpp"

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

using namespace qemuctl;
using namespace qemuctl::detail;

namespace {

const PciRoot q35{"pcie.0", 1, 0x1e, true};
const PciRoot pc{"pci.0", 2, 0x1f, false};

std::vector<PciNeed> some(std::size_t count) {
  return std::vector<PciNeed>(count, PciNeed::anything);
}

PciLayout lay_out(const PciRoot& root, const std::vector<PciNeed>& devices, std::size_t ports) {
  const auto layout = lay_out_pci(root, devices, ports);
  REQUIRE(layout);
  return *layout;
}

std::string text(const Json& device, const char* property) {
  return device.at(property).as_string();
}

/// Every function of every bus is somebody's alone, and what is behind something is behind something that exists.
void check_sound(const PciLayout& layout, const PciRoot& root) {
  std::set<std::string> buses{root.bus};
  std::set<std::pair<std::string, std::string>> places;
  for (const Json& bridge : layout.bridges) {
    CHECK(text(bridge, "bus") == root.bus);
    CHECK(places.emplace(text(bridge, "bus"), text(bridge, "addr")).second);
    CHECK(buses.insert(text(bridge, "id")).second);
  }
  for (const PciPlace& place : layout.devices) {
    CHECK(buses.contains(place.bus));
    CHECK(places.emplace(place.bus, place.addr).second);
  }
}

std::size_t count_on(const PciLayout& layout, const std::string& bus) {
  return static_cast<std::size_t>(std::ranges::count(layout.devices, bus, &PciPlace::bus));
}

} // namespace

TEST_CASE("devices take the slots of the root bus in order") {
  const PciLayout layout = lay_out(q35, some(3), 0);
  CHECK(layout.bridges.empty());
  CHECK(layout.devices == std::vector<PciPlace>{{"pcie.0", "0x1"}, {"pcie.0", "0x2"}, {"pcie.0", "0x3"}});
  CHECK(lay_out(pc, some(1), 0).devices == std::vector<PciPlace>{{"pci.0", "0x2"}});
}

TEST_CASE("hot-plug ports are functions of the last slots, and function 0 is multifunction") {
  const PciLayout layout = lay_out(q35, some(1), 10);
  REQUIRE(layout.bridges.size() == 10);
  CHECK(layout.bridges[0] == Json::object({{"driver", "pcie-root-port"},
                                           {"id", "rp0"},
                                           {"bus", "pcie.0"},
                                           {"addr", "0x1e.0x0"},
                                           {"chassis", 1},
                                           {"slot", 1},
                                           {"multifunction", true}}));
  CHECK(layout.bridges[7] == Json::object({{"driver", "pcie-root-port"},
                                           {"id", "rp7"},
                                           {"bus", "pcie.0"},
                                           {"addr", "0x1e.0x7"},
                                           {"chassis", 8},
                                           {"slot", 8}}));
  CHECK(text(layout.bridges[8], "addr") == "0x1d.0x0");
  CHECK(layout.bridges[8].at("multifunction") == Json(true));
  CHECK_FALSE(lay_out(q35, some(0), 1).bridges[0].contains("multifunction"));
}

TEST_CASE("each root port has its own chassis and slot number") {
  const PciLayout layout = lay_out(q35, some(60), 24);
  std::set<std::int64_t> chassis, slots;
  for (const Json& port : layout.bridges) {
    chassis.insert(port.at("chassis").as_int());
    slots.insert(port.at("slot").as_int());
  }
  CHECK(chassis.size() == layout.bridges.size());
  CHECK(slots.size() == layout.bridges.size());
}

TEST_CASE("devices beyond the slots go behind root ports, or behind bridges where there are none") {
  const PciLayout express = lay_out(q35, some(60), 4);
  check_sound(express, q35);
  // 25 slots for devices and 5 with the 4 + 35 ports.
  CHECK(count_on(express, "pcie.0") == 25);
  CHECK(express.bridges.size() == 39);
  CHECK(text(express.bridges[4], "id") == "port0");
  CHECK(express.devices.back() == PciPlace{"port34", "0x0"});

  const PciLayout conventional = lay_out(pc, some(61), 0);
  check_sound(conventional, pc);
  CHECK(conventional.bridges.size() == 2);
  CHECK(conventional.bridges[0] ==
        Json::object(
            {{"driver", "pci-bridge"}, {"id", "bridge0"}, {"bus", "pci.0"}, {"addr", "0x1f"}, {"chassis_nr", 1}}));
  CHECK(count_on(conventional, "pci.0") == 28);
  CHECK(conventional.devices[28] == PciPlace{"bridge0", "0x1"});
  CHECK(conventional.devices[59] == PciPlace{"bridge1", "0x1"});
}

TEST_CASE("a device that needs a root port gets one, where they exist") {
  const std::vector<PciNeed> devices{PciNeed::anything, PciNeed::root_port, PciNeed::anything, PciNeed::root_port};
  CHECK(lay_out(q35, devices, 1).devices ==
        std::vector<PciPlace>{{"pcie.0", "0x1"}, {"port0", "0x0"}, {"pcie.0", "0x2"}, {"port1", "0x0"}});
  CHECK(lay_out(pc, devices, 0).devices ==
        std::vector<PciPlace>{{"pci.0", "0x2"}, {"pci.0", "0x3"}, {"pci.0", "0x4"}, {"pci.0", "0x5"}});
  std::vector<PciNeed> many(40, PciNeed::anything);
  many.push_back(PciNeed::root_port);
  check_sound(lay_out(q35, many, 4), q35);
}

TEST_CASE("every number of devices and ports has a valid layout or none") {
  for (std::size_t devices = 0; devices <= 300; devices += 7) {
    for (std::size_t ports = 0; ports <= 200; ports += 25) {
      CAPTURE(devices, ports);
      for (const PciRoot& root : {q35, pc}) {
        const auto layout = lay_out_pci(root, some(devices), ports);
        if (layout) check_sound(*layout, root);
        if (layout) CHECK(layout->devices.size() == devices);
      }
    }
  }
}

TEST_CASE("more than a machine can hold has no layout") {
  CHECK(lay_out_pci(q35, some(240), 0));
  CHECK_FALSE(lay_out_pci(q35, some(241), 0));
  CHECK(lay_out_pci(q35, some(32), 200));
  CHECK_FALSE(lay_out_pci(q35, some(41), 200));
  CHECK(lay_out_pci(pc, some(930), 0));
  CHECK_FALSE(lay_out_pci(pc, some(931), 0));
}

TEST_CASE("adding a device moves no existing port or device, as long as there are slots") {
  const PciLayout before = lay_out(q35, some(20), 12), after = lay_out(q35, some(28), 12);
  CHECK(before.bridges == after.bridges);
  CHECK(std::equal(before.devices.begin(), before.devices.end(), after.devices.begin()));
}
