// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "host_vm.hpp"

#include <string>

using qemuctl::Json;

namespace {

const std::string examples = QEMUCTL_EXAMPLES_DIR;

} // namespace

TEST_CASE("the examples launch a VM with hotplug, and embed the engine for a running VM") {
  test::HostVm host;
  const test::NestedQemu running = host.start_qemu("running");
  host.write_file("/tmp/vm.json", R"({"name": "launched", "machine": {"type": "q35", "accel": "tcg"}})");
  host.write_file("/tmp/rules.json", R"({"usbPassthrough": [{"allow": [{"interfaceClass": 8}]}]})");
  const int launcher = host.spawn(examples + "/04_launch_with_hotplug /tmp/vm.json /tmp/rules.json", "/tmp/launched");
  const int embedded =
      host.spawn(examples + "/05_embed_engine " + std::to_string(running.pid()) + " 0627", "/tmp/embedded");
  host.plug(Json::object({{"driver", "usb-tablet"}, {"id", "tablet"}, {"port", "3"}}));
  host.add_disk("disk");
  host.plug(Json::object({{"driver", "usb-storage"}, {"id", "stick"}, {"drive", "disk"}, {"port", "4"}}));
  host.wait_until("grep 'VM launched has 2-4 46f4:0001' /tmp/launched");
  host.wait_until("grep '^usb_attached 1-3 QEMU USB Tablet vm' /tmp/embedded");
  // Both end with their VM.
  host.output_of("kill " + std::to_string(running.pid()));
  host.wait_until("! test -e /proc/" + std::to_string(embedded));
  host.output_of("kill $(sed -n 's/^launched runs as process //p' /tmp/launched)");
  host.wait_until("! test -e /proc/" + std::to_string(launcher));
}
