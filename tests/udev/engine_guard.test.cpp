// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// What the host uses and what was promised: devices that stay although a rule would take them.
#include "catch.hpp"
#include "engine_host.hpp"
#include "expect_error.hpp"
#include "fake_qemu.hpp"
#include "golden.hpp"
#include "run.hpp"

#include <hotplug/engine.hpp>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

using namespace hotplug;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
using qemuctl::Json;
using test::FakeQemu;
using Host = test::EngineHost;

namespace {

struct Mount {
  std::string number, folder;
};

/// Something that is mounted on this machine.
Mount any_mount() {
  std::ifstream table("/proc/self/mountinfo");
  std::string id, parent, below;
  Mount mount;
  table >> id >> parent >> mount.number >> below >> mount.folder;
  if (!table) throw std::runtime_error("nothing is mounted");
  return mount;
}

/// The state of the device of that name.
DeviceState state_of(const Host& host, const std::string& name) {
  for (const DeviceState& state : host.engine->devices())
    if (sys_name_of(state.device) == name) return state;
  throw std::runtime_error("there is no device " + name);
}

void add_pci_rule(Host& host, const std::string& vm, const std::string& address) {
  PciRule rule;
  rule.vms = {vm};
  rule.allow.emplace_back().address = address;
  host.config.pci_rules.push_back(rule);
}

} // namespace

TEST_CASE("a disk with a mounted file system stays with the host, with the reason, unless its rule says force") {
  Host host;
  host.add_vm("a");
  host.add_rule("Stick", "a");
  FakeQemu qemu(host.socket("a"));
  const Mount mount = any_mount();
  const std::string stick = host.host.plug(host.root, 3, 1, 5);
  host.host.add_disk(stick, "sdz", mount.number);
  host.start();
  host.wait_until("it is degraded", [&] { return host.is_there("3-1") && !host.state("3-1").degraded.empty(); });
  const std::string reason = "the host uses it: /dev/sdz is mounted on " + mount.folder;
  CHECK_THAT(host.state("3-1").degraded, StartsWith(reason));
  CHECK(host.state("3-1").problem == ProblemKind::guarded);
  const qemuctl::Error refusal = test::run(host.io, test::error_of(host.engine->attach("/sys" + stick, "a")));
  CHECK_THAT(refusal.what(), ContainsSubstring(reason));
  CHECK(qemu.count("device_add") == 0);
  Config insisting = host.config;
  insisting.usb_rules[0].force = true;
  host.engine->reload(insisting);
  host.wait_for("3-1", "a");
  CHECK(host.state("3-1").degraded.empty());
}

TEST_CASE("a card prepared for a VM's start goes back to the host when no QEMU opens it in time") {
  Host host;
  host.options.start_timeout = 300ms;
  const std::string card = "0000:00:05.0", other = "0000:00:05.1"; // of one group: one stays while the other is a VM's
  host.add_vm("b");
  add_pci_rule(host, "a", card);
  add_pci_rule(host, "b", other);
  host.host.add_pci(other, "82574L", 7);
  FakeQemu qemu(host.socket("b"));
  Json properties = Json::object({{"driver", "vfio-pci"}, {"host", other}});
  const std::string other_in_qemu = "pcihost-0000.00.05.1-12345678";
  qemu.have(other_in_qemu, std::move(properties));
  host.start();
  host.wait_until("the other one is known",
                  [&] { return !host.engine->devices().empty() && state_of(host, other).vm; });
  const std::filesystem::path noted = host.dir / "lent" / card;
  std::filesystem::create_directories(noted.parent_path());
  test::write_file(noted, "\n\n"); // it had no driver, so it is to have none again
  host.host.add_pci(card, "82574L", 7, "mlx5_vfio_pci", "A: driver_override=(null)\n");
  host.host.event("/sys/devices/pci0000:00/" + card, "add");
  host.wait_until("it waits for the other one",
                  [&] { return host.engine->devices().size() == 2 && !state_of(host, card).degraded.empty(); });
  const auto promised = std::chrono::steady_clock::now();
  test::run(host.io, host.engine->prepare_start("a"));
  qemu.lose(other_in_qemu); // nothing else keeps it from the host now
  host.wait_until("it is the host's", [&] { return !std::filesystem::exists(noted); });
  CHECK(std::chrono::steady_clock::now() - promised >= host.options.start_timeout);
}
