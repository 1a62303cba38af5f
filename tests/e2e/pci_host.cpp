// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "pci_host.hpp"

using qemuctl::Json;

namespace test {

namespace {

HostVm::Options with_iommu(const std::vector<std::string>& more) {
  HostVm::Options options;
  options.qemu_arguments = {"-device", "intel-iommu,intremap=on,caching-mode=on"};
  options.qemu_arguments.insert(options.qemu_arguments.end(), more.begin(), more.end());
  options.kernel_arguments = "intel_iommu=on iommu=pt";
  return options;
}

} // namespace

PciHost::PciHost(const std::vector<std::string>& more) : HotplugHost(with_iommu(more)) {}

std::string PciHost::plug_card(const std::string& driver, const std::string& id, const std::string& bus) {
  const std::string before = host.output_of("ls /sys/bus/pci/devices");
  Json card = Json::object({{"driver", driver}, {"id", id}, {"bus", bus}, {"addr", "0x0"}});
  if (driver == "nvme") {
    host.add_disk(id + "-disk");
    card.set("drive", id + "-disk");
    card.set("serial", id);
  }
  host.plug(card);
  std::string address;
  host.wait_until("the card is there", [&] {
    const std::string after = host.output_of("ls /sys/bus/pci/devices");
    for (std::size_t at = 0; at < after.size(); at += 13)
      if (before.find(after.substr(at, 12)) == std::string::npos) address = after.substr(at, 12);
    return !address.empty();
  });
  host.wait_for_device("/sys/bus/pci/devices/" + address);
  return address;
}

Json PciHost::rules_for(const std::string& allow, const std::string& more) {
  const std::string rules = R"([{"targetVm": "a", "allow": [)" + allow + "]" + more + "}]";
  return Json::object({{"pciPassthrough", qemuctl::parse_json(rules)}});
}

std::string PciHost::command(const std::string& arguments) {
  return std::string(QEMUCTL_CLI) + " --socket " + api_path + " " + arguments;
}

std::string PciHost::driver_of(const std::string& address) {
  return host.output_of("basename $(readlink /sys/bus/pci/devices/" + address + "/driver)");
}

void PciHost::wait_for_driver(const std::string& address, const std::string& driver, std::chrono::seconds deadline) {
  host.wait_until("test /sys/bus/pci/devices/" + address + "/driver -ef /sys/bus/pci/drivers/" + driver, deadline);
}

void PciHost::wait_for_cards(std::size_t count) {
  host.wait_until(std::to_string(count) + " cards in the VM",
                  [&] { return host.ids_of(vm("a"), "vfio-pci").size() == count; });
}

void PciHost::wait_for_log(const std::string& pattern) {
  host.wait_until("grep -q '" + pattern + "' " + log_path);
}

std::string PciHost::freeze_helper() {
  host.output_of("mkdir -p /tmp/freezer && mount -t cgroup -o freezer none /tmp/freezer && mkdir /tmp/freezer/cold");
  const std::string daemon = std::to_string(daemon_pid());
  const std::string children = "/proc/" + daemon + "/task/" + daemon + "/children";
  host.wait_until("grep -q . " + children);
  std::string helper = host.output_of("read -r pid _ <" + children + "; echo $pid");
  host.output_of("echo " + helper + " >/tmp/freezer/cold/tasks; echo FROZEN >/tmp/freezer/cold/freezer.state");
  host.wait_until("grep -q FROZEN /tmp/freezer/cold/freezer.state");
  return helper;
}

void PciHost::thaw_helper() {
  host.output_of("echo THAWED >/tmp/freezer/cold/freezer.state");
}

void PciHost::block(const std::string& file) {
  host.output_of("test -p /tmp/nobody || mkfifo /tmp/nobody; mount --bind /tmp/nobody " + file);
}

void PciHost::unblock(const std::string& file) {
  host.wait_until("umount " + file);
}

} // namespace test
