// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "planner.hpp"
#include "usb_qdev.hpp"

using namespace hotplug::detail;
using Reason = Detach::Reason;
using Attaches = std::vector<Attach>;
using Detaches = std::vector<Detach>;
using Holdings = std::vector<Holding>;

namespace {

PlannedDevice device(const std::string& path, int number, std::optional<std::string> target) {
  return {path, host_key(UsbAddress{1, number}), std::move(target)};
}

Qdev ours(const std::string& id, int number, bool attached = true) {
  return {id, host_key(UsbAddress{1, number}), attached, true};
}

} // namespace

TEST_CASE("a device that no VM has is attached to its VM, and one that stays with the host is not") {
  const Plan plan = make_plan({device("x", 2, "a"), device("y", 3, std::nullopt)}, {{"a", {}}, {"b", {}}});
  CHECK(plan.attach == Attaches{{"x", "a"}});
  CHECK(plan.detach.empty());
  CHECK(plan.holding.empty());
}

TEST_CASE("a device that is where it should be is left alone") {
  const Plan plan = make_plan({device("x", 2, "a")}, {{"a", {ours("q", 2)}}});
  CHECK(plan.attach.empty());
  CHECK(plan.detach.empty());
  CHECK(plan.holding == Holdings{{"x", "a", false}});
}

TEST_CASE("a device that is gone is deleted from QEMU") {
  const Plan plan = make_plan({}, {{"a", {ours("q", 2), ours("r", 3, false)}}});
  CHECK(plan.detach == Detaches{{"a", "q", Reason::gone, ""}, {"a", "r", Reason::gone, ""}});
}

TEST_CASE("an unbound device is deleted before it is attached again") {
  const Plan plan = make_plan({device("x", 2, "a")}, {{"a", {ours("q", 2, false)}}});
  CHECK(plan.detach == Detaches{{"a", "q", Reason::unbound, "x"}});
  CHECK(plan.attach.empty());
  CHECK(plan.holding.empty());
}

TEST_CASE("a device with a new address is another device to QEMU") {
  const Plan plan = make_plan({device("x", 9, "a")}, {{"a", {ours("q", 2)}}});
  CHECK(plan.detach == Detaches{{"a", "q", Reason::gone, ""}});
  CHECK(plan.attach == Attaches{{"x", "a"}});
}

TEST_CASE("a device leaves one VM before it is attached to another") {
  const Plan moving = make_plan({device("x", 2, "b")}, {{"a", {ours("q", 2)}}, {"b", {}}});
  CHECK(moving.detach == Detaches{{"a", "q", Reason::unwanted, "x"}});
  CHECK(moving.attach.empty());
  CHECK(make_plan({device("x", 2, "b")}, {{"a", {}}, {"b", {}}}).attach == Attaches{{"x", "b"}});
}

TEST_CASE("a device that is in a VM twice is deleted once") {
  const Plan plan = make_plan({device("x", 2, "a")}, {{"a", {ours("q", 2), ours("r", 2)}}});
  CHECK(plan.detach == Detaches{{"a", "r", Reason::duplicate, "x"}});
}

TEST_CASE("a device that somebody else attached is neither deleted nor attached a second time") {
  Qdev foreign = ours("mine", 2);
  foreign.ours = false;
  Qdev unknown{"by-ids", std::nullopt, true, false};
  const Plan plan = make_plan({device("x", 2, "b")}, {{"a", {foreign, unknown}}, {"b", {}}});
  CHECK(plan.detach.empty());
  CHECK(plan.attach.empty());
  CHECK(plan.holding == Holdings{{"x", "a", true}});
}

TEST_CASE("where a device should be follows from the rules, the user, and where it is") {
  using Vm = std::optional<std::string>;
  Wish wish;
  CHECK(target_of(wish) == Vm());
  wish.allowed = {"a"};
  CHECK(target_of(wish) == Vm("a"));
  wish.taken = false; // it was there before the engine, and nobody asked for it
  CHECK(target_of(wish) == Vm());
  wish.taken = true;
  wish.detached = true;
  CHECK(target_of(wish) == Vm());
  wish.detached = false;
  wish.quarantined = true;
  CHECK(target_of(wish) == Vm());
  wish.quarantined = false;

  wish.allowed = {"a", "b", "c"};
  CHECK(target_of(wish) == Vm("a"));
  wish.ask = true; // a person chooses
  CHECK(target_of(wish) == Vm());
  wish.current = "c"; // it is there already
  CHECK(target_of(wish) == Vm("c"));
  wish.chosen = "b";
  CHECK(target_of(wish) == Vm("b"));
  wish.chosen = "z"; // the rules do not allow that any more
  CHECK(target_of(wish) == Vm("c"));
}

TEST_CASE("the ids of our devices in QEMU contain the address, other ids do not") {
  CHECK(make_qdev_id({3, 78}, 0x5f3a01c2) == "usbhost-3-78-5f3a01c2");
  CHECK(address_in("usbhost-3-78-5f3a01c2") == UsbAddress{3, 78});
  for (const char* other : {"", "usbhost", "usbhost-", "usbhost-3-78", "usbhost-3-78-", "usbhost-3-78-5f3a01", "tablet",
                            "usbhost-0-78-5f3a01c2", "usbhost-3--1-5f3a01c2", "usbhost-3-78-5F3A01C2",
                            "usbhost-a-b-5f3a01c2", "usbhost-99999999999-1-5f3a01c2"})
    CHECK_FALSE(address_in(other));
}
