// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "usb_authorization.hpp"

#include "catch.hpp"
#include "golden.hpp"
#include "temp_dir.hpp"

#include <hotplug/usb_device.hpp>

#include <vector>

using namespace hotplug;
using hotplug::detail::AuthorizationCase;
using hotplug::detail::wanted_authorization;

TEST_CASE("the host may use allowed and previously present devices, and VMs those that go to them") {
  AuthorizationCase plugged, there;
  there.was_there = true;
  CHECK(wanted_authorization(plugged) == false);
  CHECK(wanted_authorization(there) == std::nullopt);
  there.sweep = true;
  CHECK(wanted_authorization(there) == false);
  there.host_uses = true;
  CHECK(wanted_authorization(there) == std::nullopt);
  plugged.host_allow = true;
  CHECK(wanted_authorization(plugged) == true);

  // One that is for VMs is for VMs only.
  plugged.has_rule = true;
  CHECK(wanted_authorization(plugged) == false);
  plugged.in_vm = true;
  CHECK(wanted_authorization(plugged) == true);
  there = {};
  there.was_there = there.has_rule = true;
  CHECK(wanted_authorization(there) == std::nullopt);
  there.was_in_vm = true;
  CHECK(wanted_authorization(there) == false);
}

TEST_CASE("the journal of authorisations keeps the original values") {
  const test::TempDir dir;
  const detail::AuthorizationJournal journal(dir / "usb-authorization");
  CHECK(journal.all().empty());
  journal.add({"usb1", {}, "1"});
  journal.add({"usb1", {}, "0"}); // an engine that was killed has written this
  UsbDevice disk;
  disk.sys_name = "1-3";
  disk.address = 7;
  disk.authorized = false;
  journal.add(detail::authorization_before(disk));
  CHECK(test::read_file(dir / "usb-authorization/1-3@7") == "0\n");
  CHECK(journal.all() == std::vector<detail::AuthorizationBefore>{{"1-3", "7", "0"}, {"usb1", {}, "1"}});
  journal.remove("usb1");
  CHECK(journal.all().size() == 1);
}

TEST_CASE("hubs are distinguished from other USB devices, and root hubs from other hubs") {
  UsbRecord record;
  record.sys_path = "/sys/devices/pci0000:00/0000:00:14.0/usb3/3-1";
  record.attributes = {{"bDeviceClass", "09"}, {"authorized", "0"}};
  const auto hub = make_usb_hub(record);
  REQUIRE(hub);
  CHECK(hub->sys_name == "3-1");
  CHECK_FALSE(hub->authorized);
  CHECK_FALSE(hub->is_root());
  record.sys_path = "/sys/devices/pci0000:00/0000:00:14.0/usb3";
  CHECK(make_usb_hub(record)->is_root());
  record.attributes["bDeviceClass"] = "00";
  CHECK_FALSE(make_usb_hub(record));
  record.attributes["bDeviceClass"] = "09";
  record.sys_path += "/3-1:1.0";
  CHECK_FALSE(make_usb_hub(record));
}
