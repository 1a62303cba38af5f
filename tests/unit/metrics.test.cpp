// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "metrics.hpp"

#include "catch.hpp"

#include <fmt/format.h>

#include <chrono>
#include <string>
#include <vector>

using namespace hotplug;
using namespace hotplug::detail;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;

namespace {

/// A stick and its VM, and what is counted of them.
struct Counted {
  Counted() : vms(1), devices(1) {
    vms[0].name = "a";
    UsbDevice usb;
    usb.sys_path = "/sys/devices/usb3/3-1";
    devices[0].device = usb;
    now += 1h;
  }
  void observe(LinkState link, std::chrono::milliseconds after = 0ms) {
    vms[0].link = link;
    metrics.observe(vms, devices, now += after);
  }
  void check_counts(int attached, int detached, double seconds) {
    const std::string text = metrics.text(vms, devices);
    CHECK_THAT(text, ContainsSubstring(fmt::format("qemuctl_attaches_total{{kind=\"usb\"}} {}\n", attached)));
    CHECK_THAT(text, ContainsSubstring(fmt::format("qemuctl_detaches_total{{kind=\"usb\"}} {}\n", detached)));
    CHECK_THAT(text, ContainsSubstring(fmt::format("qemuctl_attach_seconds_count {}\n", attached)));
    CHECK_THAT(text, ContainsSubstring(fmt::format("qemuctl_attach_seconds_sum {}\n", seconds)));
  }

  Metrics metrics;
  Metrics::time_point now;
  std::vector<VmState> vms;
  std::vector<DeviceState> devices;
};

} // namespace

TEST_CASE("the time of an attach is measured from when the VM could take the device") {
  Counted counted;
  counted.devices[0].target = "a";
  counted.observe(LinkState::waiting);
  counted.observe(LinkState::connecting, 100s);
  counted.observe(LinkState::connected, 1s);
  counted.check_counts(0, 0, 0);
  counted.devices[0].vm = "a";
  counted.observe(LinkState::connected, 250ms);
  counted.check_counts(1, 0, 0.25);
  CHECK_THAT(counted.metrics.text(counted.vms, counted.devices), ContainsSubstring("bucket{le=\"0.1\"} 0\n") &&
                                                                     ContainsSubstring("bucket{le=\"0.3\"} 1\n") &&
                                                                     ContainsSubstring("bucket{le=\"+Inf\"} 1\n"));
}

TEST_CASE("the time of an attach goes on while the monitor that was free is being connected") {
  Counted counted;
  counted.devices[0].target = "a";
  counted.observe(LinkState::yielded);
  counted.observe(LinkState::connecting, 500ms);
  counted.devices[0].vm = "a";
  counted.observe(LinkState::connected, 500ms);
  counted.check_counts(1, 0, 1);
}

TEST_CASE("a device that is in its VM when the service starts is not counted as an attach, but its end as a detach") {
  Counted counted;
  counted.devices[0].target = "a";
  counted.observe(LinkState::waiting);
  counted.observe(LinkState::connecting);
  counted.devices[0].vm = "a";
  counted.observe(LinkState::connected, 3s);
  counted.check_counts(0, 0, 0);
  counted.devices.clear();
  counted.observe(LinkState::connected);
  const std::string text = counted.metrics.text(counted.vms, counted.devices);
  CHECK_THAT(text, ContainsSubstring("qemuctl_detaches_total{kind=\"usb\"} 1\n"));
}

TEST_CASE("devices that somebody else attaches and detaches are not counted") {
  Counted counted;
  counted.observe(LinkState::connected);
  counted.devices[0].vm = "a";
  counted.devices[0].foreign = true;
  counted.observe(LinkState::connected);
  counted.devices[0].vm.reset();
  counted.devices[0].foreign = false;
  counted.observe(LinkState::connected);
  counted.check_counts(0, 0, 0);
}

TEST_CASE("a move from one VM to another is a detach and an attach") {
  Counted counted;
  counted.vms.resize(2);
  counted.vms[1].name = "b";
  counted.vms[1].link = LinkState::connected;
  counted.devices[0].vm = counted.devices[0].target = "a";
  counted.observe(LinkState::connected);
  counted.devices[0].target = "b";
  counted.observe(LinkState::connected);
  counted.devices[0].vm = "b";
  counted.observe(LinkState::connected, 2s);
  counted.check_counts(1, 1, 2);
}

TEST_CASE("each kind of problem is counted under its class") {
  Counted counted;
  Notification notification;
  notification.kind = Notification::Kind::degraded;
  notification.device = counted.devices[0];
  for (const ProblemKind kind : {ProblemKind::refused, ProblemKind::timeout, ProblemKind::unplug, ProblemKind::no_place,
                                 ProblemKind::guarded, ProblemKind::in_use, ProblemKind::group, ProblemKind::kernel,
                                 ProblemKind::rom_file, ProblemKind::left, ProblemKind::flapping}) {
    notification.device.problem = kind;
    counted.metrics.count(notification);
  }
  notification.kind = Notification::Kind::vm_state; // of no device
  counted.metrics.count(notification);
  const std::string text = counted.metrics.text(counted.vms, counted.devices);
  const std::size_t begin = text.find("qemuctl_device_problems_total{"), end = text.find("# HELP", begin);
  CHECK(text.substr(begin, end - begin) == "qemuctl_device_problems_total{kind=\"usb\",class=\"refused\"} 1\n"
                                           "qemuctl_device_problems_total{kind=\"usb\",class=\"timeout\"} 1\n"
                                           "qemuctl_device_problems_total{kind=\"usb\",class=\"unplug\"} 1\n"
                                           "qemuctl_device_problems_total{kind=\"usb\",class=\"no-place\"} 1\n"
                                           "qemuctl_device_problems_total{kind=\"usb\",class=\"guarded\"} 1\n"
                                           "qemuctl_device_problems_total{kind=\"usb\",class=\"in-use\"} 1\n"
                                           "qemuctl_device_problems_total{kind=\"usb\",class=\"group\"} 1\n"
                                           "qemuctl_device_problems_total{kind=\"usb\",class=\"kernel\"} 1\n"
                                           "qemuctl_device_problems_total{kind=\"usb\",class=\"rom-file\"} 1\n"
                                           "qemuctl_device_problems_total{kind=\"usb\",class=\"left\"} 1\n"
                                           "qemuctl_device_problems_total{kind=\"usb\",class=\"flapping\"} 1\n");
}
