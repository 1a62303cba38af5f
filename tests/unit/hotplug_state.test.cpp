// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "choices.hpp"
#include "flapping.hpp"
#include "state_file.hpp"
#include "temp_dir.hpp"
#include "vm_usb.hpp"

#include <hotplug/notification.hpp>
#include <qemuctl/error.hpp>

#include <unistd.h>

#include <fstream>
#include <sstream>

using namespace hotplug;
using namespace hotplug::detail;
using Catch::Matchers::ContainsSubstring;
using qemuctl::Json;

namespace {

UsbDevice usb(const std::string& connector, const std::string& serial = "s") {
  UsbDevice device;
  device.sys_path = "/sys/" + connector;
  device.device_node = "/dev/bus/usb/003/078";
  device.bus = 3;
  device.address = 78;
  device.ports = {1, 4};
  device.vendor_id = 0x046d;
  device.product_id = 0xc52b;
  device.serial = serial;
  device.identity = {connector, serial, "0123456789abcdef"};
  return device;
}

std::vector<std::string> kinds(const std::vector<Notification>& notifications) {
  std::vector<std::string> result;
  for (const Notification& each : notifications)
    result.push_back(event_name(each) + (each.vm.empty() ? "" : " " + each.vm));
  return result;
}

std::string selected(const Choices& choices, const UsbDevice& device) {
  const Choice* choice = choices.find(device);
  return choice ? choice->selected.value_or("any") : "nothing";
}

std::string contents(const std::filesystem::path& file) {
  std::ostringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

using Words = std::vector<std::string>;

} // namespace

TEST_CASE("changes of a device are reported in the order in which they happen") {
  DeviceState before, after;
  CHECK(kinds(difference(nullptr, &after)) == Words{"usb_connected"});
  after.vm = "a";
  CHECK(kinds(difference(&before, &after)) == Words{"usb_attached a"});
  before.vm = "b";
  CHECK(kinds(difference(&before, &after)) == Words{"usb_detached b", "usb_attached a"});
  CHECK(kinds(difference(&before, nullptr)) == Words{"usb_detached b", "usb_disconnected"});
  before = after;
  CHECK(difference(&before, &after).empty());
  after.degraded = "why";
  CHECK(kinds(difference(&before, &after)) == Words{"device_degraded"});
  before = after;
  CHECK(difference(&before, &after).empty());
  after.select = true;
  CHECK(kinds(difference(&before, &after)) == Words{"usb_select_vm"});
}

TEST_CASE("choices are found by the exact device, then by its serial number, then by its ids") {
  Choices choices = Choices::from_json(qemuctl::parse_json(
      R"({"selected_vms": {"usb-046d:c52b:s": "a", "pci-0000:01:00.0": "z"}, "disconnected_devices": ["usb-046d:c52b:t"]})"));
  CHECK(selected(choices, usb("x")) == "a"); // vhotplug's file knows no ports
  REQUIRE(choices.find(usb("x", "t")));
  CHECK(choices.find(usb("x", "t"))->detached);
  CHECK(choices.find(usb("x", "u")) == nullptr);

  choices.entry(usb("x"), false).selected = "b";
  CHECK(selected(choices, usb("x")) == "b");
  CHECK(selected(choices, usb("y")) == "b"); // the same one in another port
  choices.entry(usb("p", ""), false).selected = "c";
  CHECK(selected(choices, usb("p", "")) == "c");
  CHECK(choices.find(usb("q", "")) == nullptr); // without a serial number only the port tells them apart

  // It moved: there is no more to be said of where it was.
  choices.entry(usb("y"), true).selected = "d";
  CHECK(selected(choices, usb("x")) == "d");
  choices.entry(usb("x"), false).selected = "b"; // another one with that serial number
  CHECK(selected(choices, usb("y")) == "d");

  const Choices again = Choices::from_json(choices.to_json());
  CHECK(selected(again, usb("x")) == "b");
  CHECK(selected(again, usb("p", "")) == "c");
  CHECK(again.to_json().at("selected_vms").at("pci-0000:01:00.0") == Json("z"));
  CHECK(again.to_json().at("disconnected_devices") == Json::array({"usb-046d:c52b:t"}));
}

TEST_CASE("the state file is replaced atomically, and a damaged one is set aside") {
  const test::TempDir dir;
  const std::filesystem::path path = dir / "folder/state";
  {
    const StateFile file(path);
    std::string warning;
    CHECK(file.load(warning) == Choices());
    Choices choices;
    choices.entry(usb("x"), false).detached = true;
    file.save(choices);
    CHECK(file.load(warning).find(usb("x"))->detached);
    CHECK(warning.empty());

    CHECK_THROWS_WITH(StateFile(path), ContainsSubstring("process " + std::to_string(::getpid()) + " has it"));
  }
  std::ofstream(path) << "{\"selected_vms\": 7";
  const StateFile file(path);
  std::string warning;
  CHECK(file.load(warning) == Choices());
  CHECK_THAT(warning, ContainsSubstring("is damaged and now at"));
  CHECK_FALSE(std::filesystem::exists(path));
  const std::string aside = warning.substr(warning.find("now at ") + 7);
  CHECK(contents(aside.substr(0, aside.find(';'))) == "{\"selected_vms\": 7");
}

TEST_CASE("a device that comes and goes all the time is kept out, one that does so occasionally is not") {
  Flapping flapping(8);
  const auto start = Flapping::time_point{} + std::chrono::hours(1);
  for (int i = 0; i < 8; ++i) CHECK_FALSE(flapping.arrived("x", start + std::chrono::seconds(i)));
  CHECK_FALSE(flapping.arrived("y", start + std::chrono::seconds(8)));
  CHECK(flapping.arrived("x", start + std::chrono::seconds(8)) == start + std::chrono::seconds(8) + Flapping::rest);
  CHECK_FALSE(flapping.arrived("x", start + std::chrono::seconds(200)));
  for (int i = 0; i < 100; ++i) CHECK_FALSE(flapping.arrived("z", start + std::chrono::seconds(8) * i));
}

TEST_CASE("a port is chosen that does not slow a device down") {
  using Kind = UsbController::Kind;
  const std::vector<UsbController> both{{Kind::ehci, "ehci.0", 6, 0, {}}, {Kind::uhci, "uhci.0", 2, 0, {}}};
  CHECK(choose_port(both, 480)->bus == "ehci.0");
  CHECK(choose_port(both, 12)->bus == "uhci.0");
  std::vector<UsbController> xhci{{Kind::xhci, "xhci.0", 4, 8, {}}};
  CHECK(choose_port(xhci, 480)->number == 4);
  CHECK(choose_port(xhci, 5000)->number == 8);
  xhci[0].taken = {2, 3, 4};
  CHECK(choose_port(xhci, 12)->number == 1);
  xhci[0].taken.insert(1);
  CHECK_FALSE(choose_port(xhci, 12));
  CHECK_FALSE(choose_port({}, 480));
}
